//! A Lambda function on `provided.al2023`.

mod environment;
mod looks;
mod read;
mod roles;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_lambda::primitives::{Blob, DateTime};
use aws_sdk_lambda::types::{
    Architecture, FunctionCode, LastUpdateStatus, LastUpdateStatusReasonCode, Runtime,
    State as Lifecycle, StateReasonCode,
};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

pub use looks::LOOKS;
pub use read::{Lookup, judge, lookup};

use self::environment::{UNREAD, variables};
use crate::aws::naming::Lacking;
use crate::aws::retry::{SingleProbe, poll_pause};
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait};
use crate::engine::{AlreadyExists, Changes, Conflict, Diff, Found, Identity, Notices, Resource};

const RUNTIME: &str = "provided.al2023";
/// Required for a zip, unused by a `bootstrap`.
const HANDLER: &str = "bootstrap";
/// What the code becomes where it is not known.
pub const UNBUILT: &str = "not built from these sources yet";
const LONGEST_TRANSITION: Duration = Duration::from_mins(5);
/// What a read does not find for so long is gone.
const UNKNOWN: Duration = Duration::from_secs(20);
/// What the plan says of a role that was deleted and made again.
const EARLIER_ROLE: &str = "an earlier role of the same name";
/// A role is assumable within seconds; after so many it is time to see whether it still exists.
const ROLE_CHECK: Duration = Duration::from_secs(15);

/// How a function that is busy, or whose role is too new, refuses a change.
const WAITS: [Wait; 6] = [
    role_wait("cannot be assumed by Lambda", "waiting for the role to be assumable"),
    role_wait(
        "does not have permissions to call",
        "waiting for the role's policies to take effect",
    ),
    role_wait("key is invalid for CreateGrant", "waiting for the role to be known to KMS"),
    busy_wait("An update is in progress", "waiting for an earlier update of the function"),
    busy_wait("in the following state", "waiting for the function to be ready"),
    busy_wait("concurrent update operation", "waiting for another change of the function"),
];

const fn role_wait(message: &'static str, note: &'static str) -> Wait {
    Wait { code: "InvalidParameterValue", message, note, at_most: ROLE_CHECK }
}

const fn busy_wait(message: &'static str, note: &'static str) -> Wait {
    Wait { code: "ResourceConflict", message, note, at_most: LONGEST_TRANSITION }
}

pub struct FunctionId {
    pub name: String,
    pub names: Names,
}

pub struct Function {
    pub id: FunctionId,
    pub role_arn: String,
    /// Somebody else made the role, and long ago: nothing of ours can make it usable.
    pub role_given: bool,
    /// ARN of the permissions boundary of every role that is made.
    pub role_boundary: Option<String>,
    /// MB.
    pub memory: i32,
    /// Seconds.
    pub timeout: i32,
    pub environment: BTreeMap<String, String>,
    /// Variables that are never shown. Without a value the function keeps what it has.
    pub secrets: BTreeMap<String, Option<String>>,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Only known if it was built.
    pub code: Option<Code>,
}

pub struct Code {
    /// Shared with every function that has the same package, and with every attempt to send it.
    pub zip: Blob,
    /// As Lambda gives it: base64 of the zip's SHA-256.
    pub sha256: String,
}

/// Functions that wait for their roles to be assumable. Each attempt sends the code again.
#[derive(Default)]
struct AssumableRoles(SingleProbe);

/// What a function takes from the role it runs with.
pub struct Inputs {
    pub role_created: aws_sdk_iam::primitives::DateTime,
}

#[derive(Debug, Clone)]
pub struct State {
    role_arn: String,
    memory: i32,
    timeout: i32,
    /// Or why it could not be read.
    environment: Result<BTreeMap<String, String>, ApiError>,
    architecture: String,
    runtime: String,
    handler: String,
    sha256: String,
    modified: Option<DateTime>,
    notices: Notices,
    lacking: Lacking,
}

impl Identity for FunctionId {
    const KIND: &'static str = "function";
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &State) -> Option<String> {
        Some(self.names.function_arn(&self.name))
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        self.find_but(&BTreeMap::new(), cx).await
    }

    async fn delete(&self, _: &State, cx: &Context<'_>) -> Result<()> {
        let deleted = Call::new("lambda:DeleteFunction", &self.name)
            .wait(cx, &WAITS)
            .send(|| cx.cloud.lambda.delete_function().function_name(&self.name).send())
            .await;
        match deleted {
            Err(error) if error.is_not_found() => return Ok(()),
            deleted => drop(deleted?),
        }
        let begun = Instant::now();
        while read::get(cx, &self.name).await?.is_some() {
            self.pause(cx, begun, "waiting for the function to be gone").await?;
        }
        Ok(())
    }
}

impl Resource for Function {
    type Id = FunctionId;
    type Inputs = Inputs;

    fn id(&self) -> &FunctionId {
        &self.id
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        self.id.find_but(&self.environment, cx).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let id = &self.id;
        let Some((configuration, found)) = id.look(cx).await? else { return Ok(Found::Missing) };
        let ours = match judge(&id.names, &found) {
            Ok(ours) => ours,
            Err(foreign) => return Ok(foreign.found()),
        };
        let notices = read::notices(cx, &id.name, &found).await?;
        let state = State { notices, lacking: ours.lacking().clone(), ..configuration };
        id.keep_secrets(&state, &self.environment, cx);
        Ok(ours.found(state))
    }

    fn diff(&self, inputs: &Inputs, state: &State) -> Diff {
        let mut changes = Changes::default();
        match &self.code {
            Some(code) => changes.compare("code", &state.sha256, &code.sha256),
            None => changes.push("code", state.sha256.as_str(), UNBUILT),
        }
        changes.compare("architecture", &state.architecture, &self.architecture);
        changes.compare("runtime", state.runtime.as_str(), RUNTIME);
        changes.compare("handler", state.handler.as_str(), HANDLER);
        changes.compare("memory", &state.memory, &self.memory);
        changes.compare("timeout", &state.timeout, &self.timeout);
        changes.compare("role", &state.role_arn, &self.role_arn);
        self.compare_environment(state, &mut changes);
        state.lacking.compare(&mut changes);
        // Lambda's grants belong to the role's id, which a re-created role does not have.
        if state.modified.is_some_and(|modified| inputs.role_created.secs() > modified.secs() + 1) {
            changes.push("role", EARLIER_ROLE, self.role_arn.as_str());
        }
        changes.update()
    }

    async fn create(&self, _: &Inputs, cx: &Context<'_>) -> Result<State> {
        let Some(code) = &self.code else {
            bail!("the code of function {} is missing", self.id.name)
        };
        let environment = self.wanted_environment(None);
        let request = || {
            cx.cloud
                .lambda
                .create_function()
                .function_name(&self.id.name)
                .role(&self.role_arn)
                .runtime(Runtime::from(RUNTIME))
                .handler(HANDLER)
                .architectures(Architecture::from(self.architecture.as_str()))
                .memory_size(self.memory)
                .timeout(self.timeout)
                .environment(variables(&environment))
                .code(FunctionCode::builder().zip_file(code.zip.clone()).build())
                .set_tags(Some(self.id.names.all_tags().into_iter().collect()))
                .customize()
                .config_override(cx.cloud.upload(code.zip.as_ref().len()))
                .send()
        };
        let probe = cx.cloud.shared.of::<AssumableRoles>();
        let create = || {
            Call::new("lambda:CreateFunction", &self.id.name)
                .wait(cx, &WAITS)
                .probe(&probe.0)
                .send(request)
        };
        match self.with_role(cx, &self.role_arn, create).await? {
            Ok(_) => Ok(self.state(Ok(environment), &code.sha256)),
            Err(error) if error.message.contains("already exist") => {
                Err(anyhow::Error::new(AlreadyExists).context(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update(&self, inputs: &Inputs, state: &State, cx: &Context<'_>) -> Result<State> {
        let lambda = &cx.cloud.lambda;
        // What could not be read is not written either: it stays as it is.
        let environment = match &state.environment {
            Ok(_) => Ok(self.wanted_environment(Some(state))),
            Err(error) => Err(error.clone()),
        };
        let changes = match self.diff(inputs, state) {
            Diff::Update(changes) => changes,
            _ => Vec::new(),
        };
        let in_code = |field: &str| matches!(field, "code" | "architecture");
        let (code, configuration): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .filter(|change| !change.field.starts_with(Lacking::FIELD))
            // What could not be read is no reason to write.
            .filter(|change| environment.is_ok() || change.field != UNREAD)
            .partition(|change| in_code(&change.field));
        if !state.lacking.is_empty() {
            let arn = self.id.names.function_arn(&self.id.name);
            let tags = state.lacking.tags().into_iter().collect();
            let request = lambda.tag_resource().resource(arn).set_tags(Some(tags));
            Call::new("lambda:TagResource", &self.id.name)
                .wait(cx, &WAITS)
                .send(|| request.clone().send())
                .await?;
        }
        let same_role = state.role_arn == self.role_arn;
        let again = same_role && configuration.iter().any(|change| change.from == EARLIER_ROLE);
        let other = if again { Some(Box::pin(self.leave_role(cx)).await?) } else { None };
        if !configuration.is_empty() {
            let request = lambda
                .update_function_configuration()
                .function_name(&self.id.name)
                .role(&self.role_arn)
                .runtime(Runtime::from(RUNTIME))
                .handler(HANDLER)
                .memory_size(self.memory)
                .timeout(self.timeout)
                .set_environment(environment.as_ref().ok().map(variables));
            let update = || {
                Call::new("lambda:UpdateFunctionConfiguration", &self.id.name)
                    .wait(cx, &WAITS)
                    .send(|| request.clone().send())
            };
            self.with_role(cx, &self.role_arn, update).await??;
        }
        if let (Some(wanted), false) = (&self.code, code.is_empty()) {
            if !configuration.is_empty() {
                self.id.wait_ready(cx).await?;
            }
            let request = || {
                lambda
                    .update_function_code()
                    .function_name(&self.id.name)
                    .architectures(Architecture::from(self.architecture.as_str()))
                    .zip_file(wanted.zip.clone())
                    .customize()
                    .config_override(cx.cloud.upload(wanted.zip.as_ref().len()))
                    .send()
            };
            Call::new("lambda:UpdateFunctionCode", &self.id.name)
                .wait(cx, &WAITS)
                .send(request)
                .await?;
        }
        if let Some(other) = other.flatten() {
            self.drop_role(&other.0, &other.1, cx).await;
        }
        let sha256 = self.code.as_ref().map_or(state.sha256.as_str(), |code| &code.sha256);
        Ok(self.state(environment, sha256))
    }

    async fn wait_until_ready(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        self.id.wait_ready(cx).await?;
        let Err(error) = &state.environment else { return Ok(()) };
        let what = format!(
            "the environment of function {} could not be read and is left as it is; whether it is \
             as advent.toml says is not known",
            self.id.name
        );
        Err(anyhow::Error::new(error.clone()).context(what))
    }
}

impl FunctionId {
    /// Looks it up, and keeps secret what is in its variables and was not said.
    async fn find_but(
        &self,
        said: &BTreeMap<String, String>,
        cx: &Context<'_>,
    ) -> Result<Found<State>> {
        let Some((state, found)) = self.look(cx).await? else { return Ok(Found::Missing) };
        Ok(match judge(&self.names, &found) {
            Ok(ours) => {
                self.keep_secrets(&state, said, cx);
                ours.found(state)
            }
            Err(foreign) => foreign.found(),
        })
    }

    /// What Lambda says of it, unless there is none; one that is being deleted is waited for.
    async fn look(&self, cx: &Context<'_>) -> Result<Option<(State, Arc<Lookup>)>> {
        let (mut cx, begun) = (*cx, Instant::now());
        loop {
            let Some(found) = lookup(&cx, &self.name).await? else { return Ok(None) };
            let Some(configuration) = &found.output.configuration else { return Ok(None) };
            if configuration.state != Some(Lifecycle::Deleting) {
                return Ok(Some((State::from(configuration), found)));
            }
            cx = cx.fresh();
            self.pause(&cx, begun, "waiting for the function to be deleted").await?;
        }
    }

    /// Until it can be invoked and changed.
    async fn wait_ready(&self, cx: &Context<'_>) -> Result<()> {
        let begun = Instant::now();
        let mut seen = begun;
        loop {
            // A read replica may not know the function yet.
            let configuration =
                read::get(cx, &self.name).await?.and_then(|answer| answer.configuration);
            let failed = |code: Option<&str>, reason: Option<&str>| {
                let reason = reason.unwrap_or("Lambda gives no reason");
                let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                anyhow::anyhow!("function {} did not become ready: {reason}{code}", self.name)
            };
            let gone = match &configuration {
                Some(found) => found.state == Some(Lifecycle::Deleting),
                None => seen.elapsed() > UNKNOWN,
            };
            if gone {
                return Err(anyhow::Error::new(Conflict)
                    .context(format!("function {} is gone again", self.name)));
            }
            if let Some(found) = configuration {
                seen = Instant::now();
                if found.state == Some(Lifecycle::Failed) {
                    let code = found.state_reason_code().map(StateReasonCode::as_str);
                    return Err(failed(code, found.state_reason()));
                }
                if found.last_update_status == Some(LastUpdateStatus::Failed) {
                    let code = found.last_update_status_reason_code();
                    let code = code.map(LastUpdateStatusReasonCode::as_str);
                    return Err(failed(code, found.last_update_status_reason()));
                }
                let pending = found.state == Some(Lifecycle::Pending)
                    || found.last_update_status == Some(LastUpdateStatus::InProgress);
                if !pending {
                    return Ok(());
                }
            }
            self.pause(cx, begun, "waiting for the function to be ready").await?;
        }
    }

    async fn pause(&self, cx: &Context<'_>, begun: Instant, note: &str) -> Result<()> {
        if begun.elapsed() > LONGEST_TRANSITION {
            bail!("gave up {note} ({}) after 5 minutes", self.name);
        }
        cx.note(note);
        sleep(poll_pause(begun.elapsed())).await;
        Ok(())
    }
}

impl Function {
    fn state(
        &self,
        environment: Result<BTreeMap<String, String>, ApiError>,
        sha256: &str,
    ) -> State {
        State {
            role_arn: self.role_arn.clone(),
            memory: self.memory,
            timeout: self.timeout,
            environment,
            architecture: self.architecture.clone(),
            runtime: RUNTIME.to_owned(),
            handler: HANDLER.to_owned(),
            sha256: sha256.to_owned(),
            modified: None,
            notices: Notices::default(),
            lacking: Lacking::default(),
        }
    }
}

impl Code {
    pub fn new(zip: Arc<[u8]>, sha256: String) -> Self {
        Self { zip: Blob::from_maybe_shared(Bytes::from_owner(zip)), sha256 }
    }
}

impl State {
    /// Whether it is given this environment variable.
    pub fn has(&self, variable: &str) -> bool {
        self.environment.as_ref().is_ok_and(|environment| environment.contains_key(variable))
    }
}
