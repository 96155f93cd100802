//! `cargo xtask prove`: what the cloud really does, tried for a moment and written down.

mod advent;
mod findings;
mod http;
mod interrupt;
mod lab;
mod probes;
mod report;
mod sweep;
mod tour;

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::advent::aws::{Cloud, Target, record};
use ::advent::bundle::Arch;
use ::advent::failure::Failure;
use ::advent::local::{Access, Key};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use crate::advent::{AS_ADVENT, Advent};
use crate::findings::{Findings, Verdict};
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::sweep::{Inventory, Thing};

/// Where this process itself records.
const OWN_RECORD: &str = "prove.jsonl";

/// Deploys this repository's application for a moment, tries what only a real account can tell,
/// takes everything down and writes a report.
#[derive(Parser)]
#[command(name = "cargo xtask prove", max_term_width = 100)]
struct Args {
    /// On a local cloud of its own, not on AWS
    #[arg(long, conflicts_with_all = ["endpoint_url", "profile"])]
    local: bool,
    /// On another endpoint, such as an emulator (also: `AWS_ENDPOINT_URL`)
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// AWS profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// AWS Region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Processor of the functions: `x86_64` or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Do not ask before it begins
    #[arg(short, long)]
    yes: bool,
    /// Few tries, waits of 3 s at most, one stage: for emulators
    #[arg(long)]
    quick: bool,
    /// Only these points, without the tour
    #[arg(long, value_name = "POINT", value_parser = clap::builder::PossibleValuesParser::new(probes::ids()))]
    only: Vec<String>,
    /// Another `advent` to go the tour with, such as dist/advent [default: the same sources]
    #[arg(long, value_name = "FILE")]
    advent: Option<PathBuf>,
    /// Folder for the report [default: target/prove/ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only delete what the run with this id left behind
    #[arg(long, value_name = "ID", conflicts_with_all = ["local", "only", "quick"])]
    clean: Option<String>,
}

fn main() -> ExitCode {
    // Cargo calls it instead of rustc, as it calls `advent`.
    if let Some(compiled) = ::advent::bundle::stand_in(::advent::invocation::begins) {
        return compiled.unwrap_or_else(|error| {
            say(&format!("error: {error:#}"));
            ExitCode::from(101)
        });
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // The commands of the tour, and the local cloud that they start.
    if std::env::var_os(AS_ADVENT).is_some() {
        return runtime.block_on(as_advent());
    }
    match runtime.block_on(run(&Args::parse())) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            let failure = Failure::of(&error);
            if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
                say(hint);
            }
            ExitCode::from(failure.map_or(1, |failure| failure.exit))
        }
    }
}

/// As `advent`'s own `main`.
async fn as_advent() -> ExitCode {
    use ::advent::report::{Options, Report};
    let cli = ::advent::cli::Cli::parse();
    let global = &cli.global;
    let report = Report::new(Options::detect(global.json, global.quiet, global.no_color));
    match ::advent::commands::run(cli, &report).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report.error(&error);
            ExitCode::from(Failure::of(&error).map_or(1, |failure| failure.exit))
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("prove lies in the repository")?;
    let id = args.clean.clone().unwrap_or_else(random_id);
    ensure!(is_id(&id), "`{id}` is no id of a run: 8 digits from 0 to 9 and a to f");
    // The manifest's copy lies within the workspace that it is about, so that cargo finds it.
    let folder = root.join("target/prove").join(&id);
    let records = folder.join("requests");
    fs::create_dir_all(&records)
        .with_context(|| format!("could not make {}", records.display()))?;
    fs::copy(root.join("advent.toml"), folder.join("advent.toml"))?;
    record::begin(&records.join(OWN_RECORD))?;
    let mut advent = Advent {
        program: args.advent.clone().map_or_else(std::env::current_exe, fs::canonicalize)?,
        own: args.advent.is_none(),
        folder: folder.clone(),
        records: records.clone(),
        args: shared_arguments(args),
        secret: format!("{}{}{}", random_id(), random_id(), random_id()),
        interrupt: Interrupt::watch(),
        ran: Vec::new(),
    };
    let code = within(args, &mut advent, &id).await;
    // Also one that came up and could not be used.
    if args.local
        && let Err(error) = advent.finish(&sweep::stages(&id)[0], &["local", "stop"]).await
    {
        say(&format!("the local cloud could not be stopped: {error:#}"));
    }
    // What only the run needed: the report has the rest. The folder goes if no report is in it.
    drop(fs::remove_dir_all(&records));
    drop(fs::remove_dir_all(folder.join(".advent")));
    drop(fs::remove_file(folder.join("advent.toml")));
    drop(fs::remove_dir(&folder));
    code
}

/// A run in the folder that was made for it.
async fn within(args: &Args, advent: &mut Advent, id: &str) -> Result<ExitCode> {
    if args.local {
        announce(args, None, id);
        consent(args, "go ahead")?;
    }
    let target = target(args, advent, id).await?;
    let cloud = Cloud::connect(&target, "advent-prove", &sweep::stages(id)[0]).await?;
    if args.clean.is_some() {
        consent(args, &format!("delete what the run {id} left on {}", place(args, Some(&cloud))))?;
        let (deleted, left) = sweep::sweep(&cloud, &sweep::marks(id), pause(args)).await;
        say(&format!("{} deleted, left: {}", deleted.len(), left.told()));
        return Ok(if left.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !args.local {
        announce(args, Some(&cloud), id);
        consent(args, "go ahead")?;
    }
    let begun = Instant::now();
    let arch = args.arch.unwrap_or_else(Arch::host).to_string();
    let lab = Lab::new(cloud, id, args.quick, &arch)?;
    let mut findings = Findings::default();
    let (swept, left) = work(args, &lab, advent, &mut findings).await;
    let seconds = begun.elapsed().as_secs();
    let run = report::Run {
        id,
        cloud: &place(args, Some(&lab.cloud)),
        region: &lab.cloud.names.region,
        version: env!("CARGO_PKG_VERSION"),
        arch: &arch,
        quick: args.quick,
        interrupted: advent.interrupt.is_raised(),
        seconds,
        findings: &findings.0,
        commands: &advent.ran,
        swept: &swept,
        left: &left,
    };
    let out = args.out.as_ref().unwrap_or(&advent.folder);
    fs::create_dir_all(out).with_context(|| format!("could not make {}", out.display()))?;
    let paths = report::write(out, &run, &advent.records.join(OWN_RECORD))?;
    let count = |verdict| findings.count(verdict);
    let [held, differ, untried] = [Verdict::Held, Verdict::Differs, Verdict::Untried].map(count);
    say(&format!(
        "\n{held} held, {differ} differ, {untried} could not be tried, in {seconds} s; left behind: {}",
        left.told()
    ));
    for path in &paths {
        say(&path.display().to_string());
    }
    Ok(match (advent.interrupt.is_raised(), differ == 0 && left.is_clean()) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

/// The tour, the points, and the way back. However it goes, what was made is deleted.
async fn work(
    args: &Args,
    lab: &Lab,
    advent: &mut Advent,
    findings: &mut Findings,
) -> (Vec<Thing>, Inventory) {
    let interrupt = advent.interrupt.clone();
    let touring = args.only.is_empty();
    if touring {
        say("the tour:");
        tour::Tour { advent, lab, findings }.there().await;
    }
    say("the open points:");
    probes::run(lab, &args.only, &interrupt, findings).await;
    say("cleaning up:");
    let probes = [sweep::prefix(&lab.id)];
    let (made, _) = sweep::sweep(&lab.cloud, &probes, pause(args)).await;
    say(&format!("  deleted what the points were tried with: {}", made.len()));
    if touring {
        tour::Tour { advent, lab, findings }.back().await;
    } else if let Err(error) = advent.wake(&sweep::stages(&lab.id)[0]).await {
        say(&format!("  {error:#}"));
    }
    let marks = sweep::marks(&lab.id);
    let (swept, left) = sweep::sweep(&lab.cloud, &marks, pause(args)).await;
    if !swept.is_empty() {
        say(&format!("  `advent down` left things behind, deleted now: {}", swept.len()));
    }
    (swept, left)
}

/// Between two looks at what is left. AWS's lists lag by seconds.
fn pause(args: &Args) -> Duration {
    Duration::from_millis(if args.quick { 50 } else { 5_000 })
}

fn shared_arguments(args: &Args) -> Vec<String> {
    let mut all = Vec::new();
    if args.local {
        all.push("--local".to_owned());
    }
    let named = [
        ("--endpoint-url", args.endpoint_url.clone()),
        ("--profile", args.profile.clone()),
        ("--region", args.region.clone()),
        ("--arch", args.arch.map(|arch| arch.to_string())),
    ];
    for (flag, value) in named {
        all.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    all
}

/// Where this leads; a local cloud is started for it.
async fn target(args: &Args, advent: &mut Advent, id: &str) -> Result<Target> {
    let local = if args.local {
        let [stage, _] = sweep::stages(id);
        advent.wake(&stage).await?;
        let env = advent.finish(&stage, &["local", "env"]).await?;
        let variable = |name: &str| {
            let text = env.document[name].as_str().map(str::to_owned);
            text.with_context(|| format!("the local cloud does not tell {name}: {}", env.why()))
        };
        let key = Key {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
        };
        Some(Access { url: variable("AWS_ENDPOINT_URL")?, key })
    } else {
        None
    };
    Ok(Target {
        local,
        endpoint_url: args.endpoint_url.clone(),
        profile: args.profile.clone(),
        region: args.region.clone(),
        timeout: Duration::from_secs(30),
    })
}

fn place(args: &Args, cloud: Option<&Cloud>) -> String {
    match cloud.and_then(|cloud| cloud.endpoint.as_deref()) {
        _ if args.local => "a local cloud of its own".to_owned(),
        Some(url) => url.to_owned(),
        None => "AWS".to_owned(),
    }
}

fn announce(args: &Args, cloud: Option<&Cloud>, id: &str) {
    let account = cloud.map_or_else(String::new, |cloud| {
        format!(", account {}, {}", cloud.names.account, cloud.names.region)
    });
    let [first, second] = sweep::stages(id);
    say(&format!(
        "This is run {id}. On {}{account}, it creates and deletes again:\n\
         - the application of advent.toml as the stages {first} and {second}: each a table, a topic, \
         three functions with roles, log groups and permissions, two subscriptions, and an HTTP API \
         that answers only what is signed with this run's own secret\n\
         - some 70 things called {}-*: topics, functions, roles, HTTP APIs, log groups, a table. Three \
         of the roles can be assumed by whoever may assume roles in this account: one may delete what \
         has this run's tag and name, one read one topic, one create HTTP APIs; two HTTP APIs answer \
         everyone with what they were sent\n\
         Nothing else is changed. Some thousand requests and a hundred invocations cost less than \
         0.05 USD. It takes up to half an hour; the first build of the functions adds minutes. \
         Ctrl-C cleans up.",
        place(args, cloud),
        sweep::prefix(id),
    ));
}

/// # Errors
/// A refusal: by the person, or because there is nobody to ask.
fn consent(args: &Args, question: &str) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let refused = Failure::refused("refused to begin without being asked to");
        return Err(refused.hint("pass --yes to go ahead without a question").into());
    }
    ask(&format!("{question}? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        bail!("declined: nothing was created");
    }
    Ok(())
}

/// Eight digits that nothing else has in its name.
fn random_id() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{:08x}", random >> 32)
}

fn is_id(id: &str) -> bool {
    id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[expect(clippy::print_stderr, reason = "the one place where prove prints")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stderr, reason = "a question, beside the one place where prove prints")]
fn ask(question: &str) {
    eprint!("{question}");
    drop(std::io::stderr().flush());
}
