//! From the command line to a stack that has been read: what every command begins with.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::guard;
use super::interrupt::UnderWay;
use crate::aws::{Cloud, Names, Target, record};
use crate::bundle::{self, Application, Arch, Artifact, Destination};
use crate::cli::Global;
use crate::engine::{Applied, Goal, Interrupt, Observed, Options, Plan};
use crate::local::{self, Running};
use crate::manifest::Source;
use crate::report::Report;
use crate::resources::function::UNBUILT;
use crate::stack::{self, Deployment, Parts};
use crate::trace;

/// How many resources are worked on at once. Most of them wait: `aws::pace` bounds the requests.
const CONCURRENCY: usize = 512;

/// As many functions are named where many may be meant.
const NAMED: usize = 5;

/// One command's run: the application, and the cloud that it is about.
pub struct Session<'a> {
    pub global: &'a Global,
    pub report: &'a Report,
    pub app: Application,
    pub arch: Arch,
    pub cloud: Cloud,
    /// The local cloud, if that is meant.
    pub local: Option<Running>,
    /// Whether it was said which roles others look after.
    told: AtomicBool,
}

impl<'a> Session<'a> {
    /// Finds the application and connects; a local cloud that does not run is started.
    pub async fn open(global: &'a Global, report: &'a Report) -> Result<Self> {
        Self::of(application(report)?, global, report).await
    }

    /// Connects for an application that has been found.
    pub async fn of(mut app: Application, global: &'a Global, report: &'a Report) -> Result<Self> {
        let arch = global.arch.map_or_else(|| app.arch(), Ok)?;
        stack::check_stage(&global.stage)?;
        stack::check_names(&app, &global.stage)?;
        let local = if global.local {
            let dir = local::state_dir(folder(&app))?;
            if local::find(&dir).await?.is_none() {
                report.begin("starting the local cloud");
            }
            let running = local::ensure(&dir).await?;
            report.end();
            Some(running)
        } else {
            None
        };
        let target = Target {
            local: local.as_ref().map(Running::access),
            endpoint_url: global.endpoint_url.clone(),
            profile: global.profile.clone(),
            region: global.region.clone(),
            timeout: Duration::from_secs(global.timeout),
        };
        let connect = Cloud::connect(&target, &app.manifest.name, &global.stage);
        let mut cloud = trace::step("session", "connect", connect).await?;
        if local.is_some() {
            guard::lift(&mut app.manifest, report);
        } else {
            guard::check(&app.manifest, &cloud.names)?;
        }
        cloud.names.own_tags.clone_from(&app.manifest.tags);
        let told = AtomicBool::new(false);
        Ok(Self { global, report, app, arch, cloud, local, told })
    }

    /// Refuses what AWS would refuse of the application, but not before half of it is made.
    pub fn check_limits(&self) -> Result<()> {
        let secrets = |variable: &str| std::env::var(variable).ok();
        Ok(stack::check_limits(&self.app, &self.cloud.names, &secrets)?)
    }

    /// Reads the whole stack and plans to bring it to what it should be.
    pub async fn plan(&self, artifacts: &[Artifact]) -> Result<(Deployment, Plan)> {
        let Observation { deployment, observed } = self.read(artifacts, Goal::Up).await?;
        let plan = deployment.stack.plan_up(observed);
        self.report.name(&plan);
        // Not once more in every round.
        if !self.told.swap(true, Ordering::Relaxed) {
            guard::tell_of_given_roles(&self.app.manifest, &self.cloud.names, self.report);
        }
        Ok((deployment, plan))
    }

    /// Builds what is not embedded.
    pub async fn build(&self) -> Result<Vec<Artifact>> {
        build(&self.app, self.arch, self.global, self.report).await
    }

    /// What was built last, without building: of functions that changed since, nothing, which is
    /// said.
    pub fn built(&self) -> Result<Vec<Artifact>> {
        let built = bundle::last_built(&self.app, self.arch, destination(self.global))?;
        let unbuilt = self.unbuilt(&built);
        if !unbuilt.is_empty() {
            let more = match unbuilt.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let names = unbuilt[..unbuilt.len().min(NAMED)].join(", ");
            self.report.note(&format!(
                "{UNBUILT}: {names}{more}; whether that code differs is not known until \
                 `advent plan --build` or `advent up` builds it"
            ));
        }
        Ok(built)
    }

    /// Ids of the functions whose code is not among these.
    pub fn unbuilt(&self, built: &[Artifact]) -> Vec<&str> {
        let is_built = |id: &&str| built.iter().any(|artifact| artifact.function == *id);
        let ids = self.app.manifest.functions.keys().map(String::as_str);
        ids.filter(|id| !is_built(id)).collect()
    }

    /// Reads the whole stack: what it should be, and what it is.
    pub async fn read(&self, artifacts: &[Artifact], goal: Goal) -> Result<Observation> {
        let secrets = |variable: &str| {
            let secret = std::env::var(variable).ok();
            self.report.hide(secret.as_deref().unwrap_or_default());
            record::hide(secret.as_deref().unwrap_or_default());
            secret
        };
        let parts = Parts { arch: self.arch, artifacts, secrets: &secrets };
        let mut deployment = Deployment::new(&self.app.manifest, &self.cloud.names, &parts);
        self.report.begin("reading the cloud");
        let read = deployment.read(&self.cloud, self.report, goal).await;
        self.report.end();
        let (observed, orphans) = read?;
        for role in &orphans.in_use {
            self.report.note(&format!(
                "left for now: the empty role {role}, which a run of `advent up` that is under way \
                 may need; once it is 15 minutes old, `advent up` deletes it, and `advent down` at \
                 once"
            ));
        }
        if let Some(why) = &orphans.incomplete {
            self.report.warn(&format!(
                "resources that advent.toml no longer has could not be looked for: {why}"
            ));
        }
        Ok(Observation { deployment, observed })
    }

    /// Carries a plan out, until it is done or interrupted.
    pub async fn apply(&self, deployment: &Deployment, plan: &Plan) -> (Applied, bool) {
        let interrupt = Arc::new(Interrupt::default());
        let options = Options { concurrency: CONCURRENCY, interrupt: &interrupt };
        self.report.apply_begins(plan);
        let under_way = UnderWay::begin(&interrupt);
        let applied = deployment.stack.apply(plan, &self.cloud, options, self.report).await;
        drop(under_way);
        self.report.apply_ends();
        (applied, interrupt.is_raised())
    }

    /// Account, Region and stage, or the local cloud: where this command reads and writes.
    pub fn place(&self) -> String {
        let Names { account, region, stage, .. } = &self.cloud.names;
        match (&self.local, &self.cloud.endpoint) {
            (Some(local), _) if region == local::REGION => {
                format!("the local cloud at {}, stage {stage}", local.url)
            }
            (Some(local), _) => {
                format!("the local cloud at {}, Region {region}, stage {stage}", local.url)
            }
            (None, Some(endpoint)) => {
                format!("account {account} at {endpoint}, Region {region}, stage {stage}")
            }
            (None, None) => format!("account {account}, Region {region}, stage {stage}"),
        }
    }
}

/// A stage of the application that has been read.
pub struct Observation {
    pub deployment: Deployment,
    pub observed: Observed,
}

/// The application of the folder that the command runs in, or the embedded one, which is said.
pub fn application(report: &Report) -> Result<Application> {
    let here = std::env::current_dir().context("failed to find the current folder")?;
    let app = Application::find(&here)?;
    if app.source == Source::Embedded
        && let Some(carried) = bundle::carried()?
    {
        report.note(&format!("no advent.toml here: this executable carries {carried}"));
    }
    Ok(app)
}

pub fn folder(app: &Application) -> Option<&Path> {
    match &app.source {
        Source::Folder(folder) => Some(folder),
        Source::Embedded => None,
    }
}

/// Builds what is not embedded.
pub async fn build(
    app: &Application,
    arch: Arch,
    global: &Global,
    report: &Report,
) -> Result<Vec<Artifact>> {
    report.begin("building the functions");
    let progress = |progress: bundle::Progress<'_>| report.progress(&progress);
    let build = bundle::artifacts(app, arch, destination(global), &progress);
    let artifacts = trace::step("functions", "build", build).await;
    report.end();
    let artifacts = artifacts?;
    for warning in artifacts.iter().flat_map(|artifact| &artifact.warnings) {
        report.warn(warning);
    }
    Ok(artifacts)
}

fn destination(global: &Global) -> Destination {
    if global.local { Destination::Local } else { Destination::Aws }
}
