//! What probes work with: clients, names of their own, and things that several of them use.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use advent::aws::{ApiError, Call, Cloud};
use anyhow::{Context as _, Result, bail};
use aws_sdk_iam::types::Tag as RoleTag;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, Environment, FunctionCode, Runtime, State};
use aws_sdk_sns::types::Tag as TopicTag;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Answers every invocation with its event, and logs the marks in it. As AWS's own tutorial of
/// custom runtimes it needs what `provided.al2023` has, and no compiler for the processor.
const BOOTSTRAP: &str = r#"#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
    head=$(mktemp /tmp/prove.XXXXXX) || exit 1
    event=$(curl -sS -D "$head" "$api/next") || exit 1
    id=$(grep -i '^lambda-runtime-aws-request-id:' "$head" | tr -d '\r' | cut -d' ' -f2)
    rm -f "$head"
    printf '%s' "$event" | grep -o 'mark-[0-9a-z-]*'
    printf '%s' "$event" | curl -sS -X POST --data-binary @- "$api/$id/response" >/dev/null
done
"#;

/// What says that a thing is a run's, and which run's.
pub const TAG: &str = "advent:prove";
/// Longest wait for what usually takes seconds.
pub const SECONDS: Duration = Duration::from_mins(1);
/// Longest wait for what may take minutes.
pub const MINUTES: Duration = Duration::from_mins(3);

pub struct Lab {
    pub cloud: Cloud,
    /// What is unique to this run.
    pub id: String,
    /// Few tries and short waits.
    pub quick: bool,
    /// As Lambda names it.
    pub arch: String,
    zip: Blob,
    shared: OnceCell<Shared>,
}

/// A role and a function that probes use but do not change.
pub struct Shared {
    pub role: String,
    pub function: String,
}

impl Lab {
    pub fn new(cloud: Cloud, id: &str, quick: bool, arch: &str) -> Result<Self> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
        zip.write_all(BOOTSTRAP.as_bytes())?;
        let zip = Blob::new(zip.finish()?.into_inner());
        let (id, arch) = (id.to_owned(), arch.to_owned());
        Ok(Self { cloud, id, quick, arch, zip, shared: OnceCell::new() })
    }

    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", crate::sweep::prefix(&self.id))
    }

    pub fn zip(&self) -> Blob {
        self.zip.clone()
    }

    /// How long to wait for something.
    pub fn bound(&self, most: Duration) -> Duration {
        if self.quick { most.min(Duration::from_secs(3)) } else { most }
    }

    /// How often to try something that goes wrong now and then.
    pub fn tries(&self) -> usize {
        if self.quick { 2 } else { 5 }
    }

    pub fn tags(&self) -> HashMap<String, String> {
        HashMap::from([(TAG.to_owned(), self.id.clone())])
    }

    pub fn topic_tag(value: &str) -> Result<TopicTag> {
        Ok(TopicTag::builder().key(TAG).value(value).build()?)
    }

    pub async fn topic(&self, what: &str) -> Result<String> {
        let name = self.name(what);
        let request = self.cloud.sns.create_topic().name(&name).tags(Self::topic_tag(&self.id)?);
        let answer = Call::plain("sns:CreateTopic", &name).send(|| request.clone().send()).await?;
        answer.topic_arn.context("the new topic has no ARN")
    }

    /// A role with a trust policy and one inline policy; its ARN.
    pub async fn role(&self, what: &str, trust: &Value, policy: &Value) -> Result<String> {
        let name = self.name(what);
        let iam = &self.cloud.iam;
        let tag = RoleTag::builder().key(TAG).value(&self.id).build()?;
        let create = iam
            .create_role()
            .role_name(&name)
            .assume_role_policy_document(trust.to_string())
            .tags(tag);
        let answer = Call::plain("iam:CreateRole", &name).send(|| create.clone().send()).await?;
        let put = iam
            .put_role_policy()
            .role_name(&name)
            .policy_name("prove")
            .policy_document(policy.to_string());
        let put = || Call::plain("iam:PutRolePolicy", &name).send(|| put.clone().send());
        until(self.bound(SECONDS), put, ApiError::is_not_found).await.ok()?;
        Ok(answer.role.context("the new role is not in the answer")?.arn)
    }

    /// A role for functions, which may write logs.
    pub async fn function_role(&self, what: &str) -> Result<String> {
        self.role(what, &trust("lambda.amazonaws.com"), &self.log_rights()).await
    }

    pub fn log_rights(&self) -> Value {
        let groups = self.cloud.names.log_group_arn(&format!("/aws/lambda/{}*", self.name("")));
        allow(&["logs:CreateLogStream", "logs:PutLogEvents"], &format!("{groups}:*"))
    }

    pub async fn log_group(&self, function: &str) -> Result<String> {
        let name = format!("/aws/lambda/{function}");
        let request =
            self.cloud.logs.create_log_group().log_group_name(&name).set_tags(Some(self.tags()));
        Call::plain("logs:CreateLogGroup", &name).send(|| request.clone().send()).await?;
        Ok(name)
    }

    /// Creates a function, once.
    pub async fn try_function(&self, name: &str, role: &str) -> Result<(), ApiError> {
        let variables = Environment::builder().variables("PROVE", "1").build();
        let request = self
            .cloud
            .lambda
            .create_function()
            .function_name(name)
            .role(role)
            .runtime(Runtime::from("provided.al2023"))
            .handler("bootstrap")
            .architectures(Architecture::from(self.arch.as_str()))
            .memory_size(128)
            .timeout(10)
            .environment(variables)
            .code(FunctionCode::builder().zip_file(self.zip()).build())
            .set_tags(Some(self.tags()));
        Call::plain("lambda:CreateFunction", name).send(|| request.clone().send()).await.map(drop)
    }

    /// Creates a function as soon as its role can be used.
    pub async fn create_function(&self, name: &str, role: &str) -> Until<()> {
        let create = || self.try_function(name, role);
        until(self.bound(SECONDS), create, role_is_young).await
    }

    /// A function that can be invoked, and its log group.
    pub async fn function(&self, what: &str, role: &str) -> Result<String> {
        let name = self.name(what);
        self.log_group(&name).await?;
        self.create_function(&name, role).await.ok()?;
        self.wait_active(&name).await?;
        Ok(name)
    }

    pub async fn wait_active(&self, name: &str) -> Result<()> {
        let active = || async {
            let get = self.cloud.lambda.get_function_configuration().function_name(name);
            let answer = Call::plain("lambda:GetFunctionConfiguration", name)
                .send(|| get.clone().send())
                .await?;
            Ok(answer.state.is_none_or(|state| state == State::Active))
        };
        match lag(self.bound(SECONDS), active).await? {
            Some(_) => Ok(()),
            None => bail!("{name} did not become active"),
        }
    }

    pub async fn shared(&self) -> Result<&Shared> {
        let make = || async {
            let role = self.function_role("shared").await?;
            let function = self.function("shared", &role).await?;
            Ok(Shared { role, function })
        };
        self.shared.get_or_try_init(make).await
    }

    /// Lets a service call a function.
    pub async fn permit(
        &self,
        function: &str,
        sid: &str,
        service: &str,
        source: &str,
    ) -> Result<(), ApiError> {
        let request = self
            .cloud
            .lambda
            .add_permission()
            .function_name(function)
            .statement_id(sid)
            .action("lambda:InvokeFunction")
            .principal(service)
            .source_arn(source);
        Call::plain("lambda:AddPermission", function)
            .send(|| request.clone().send())
            .await
            .map(drop)
    }

    pub async fn subscribe(&self, topic: &str, function: &str) -> Result<String, ApiError> {
        let request = self
            .cloud
            .sns
            .subscribe()
            .topic_arn(topic)
            .protocol("lambda")
            .endpoint(self.cloud.names.function_arn(function))
            .return_subscription_arn(true);
        let answer = Call::plain("sns:Subscribe", topic).send(|| request.clone().send()).await?;
        Ok(answer.subscription_arn.unwrap_or_default())
    }

    pub async fn publish(&self, topic: &str, message: &str) -> Result<(), ApiError> {
        let request = self.cloud.sns.publish().topic_arn(topic).message(message);
        Call::plain("sns:Publish", topic).send(|| request.clone().send()).await.map(drop)
    }

    /// Invokes a function and waits for its answer: status, error, payload.
    pub async fn invoke(
        &self,
        function: &str,
        event: &Value,
    ) -> Result<(Option<String>, String), ApiError> {
        let request = self
            .cloud
            .lambda
            .invoke()
            .function_name(function)
            .payload(Blob::new(event.to_string()));
        let answer = Call::plain("lambda:Invoke", function).send(|| request.clone().send()).await?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        Ok((answer.function_error, String::from_utf8_lossy(&payload).into_owned()))
    }

    /// How long it takes until a mark is in a function's log.
    pub async fn logged(
        &self,
        function: &str,
        mark: &str,
        most: Duration,
    ) -> Result<Option<Duration>> {
        let group = format!("/aws/lambda/{function}");
        let look = || async {
            let request = self.cloud.logs.filter_log_events().log_group_name(&group);
            let found =
                Call::plain("logs:FilterLogEvents", &group).send(|| request.clone().send()).await;
            match found {
                Ok(page) => Ok(page
                    .events()
                    .iter()
                    .any(|event| event.message().is_some_and(|message| message.contains(mark)))),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error),
            }
        };
        Ok(lag(self.bound(most), look).await?)
    }
}

/// Who may assume a role: a service.
pub fn trust(service: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" }] })
}

pub fn allow(actions: &[&str], resource: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": actions, "Resource": resource }] })
}

pub fn role_is_young(error: &ApiError) -> bool {
    error.is("InvalidParameterValue") || error.is_denied()
}

/// What trying again and again came to.
#[derive(Debug)]
pub struct Until<T> {
    pub result: Result<T, ApiError>,
    pub took: Duration,
    /// How often each refusal came before.
    pub refusals: BTreeMap<String, usize>,
}

impl<T> Until<T> {
    pub fn ok(self) -> Result<T, ApiError> {
        self.result
    }

    /// In words: how long, and what came before.
    pub fn told(&self) -> String {
        let end = match &self.result {
            Ok(_) => format!("accepted after {}", seconds(self.took)),
            Err(error) => format!("not accepted in {}: {}", seconds(self.took), short(error)),
        };
        if self.refusals.is_empty() {
            return end;
        }
        let refusals: Vec<_> =
            self.refusals.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        format!("{end}, refused before: {}", refusals.join("; "))
    }
}

/// Tries until it is accepted, or refused otherwise than by what may pass.
pub async fn until<T, F>(
    most: Duration,
    attempt: impl Fn() -> F,
    passes: impl Fn(&ApiError) -> bool,
) -> Until<T>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let begun = Instant::now();
    let mut refusals = BTreeMap::new();
    loop {
        let result = attempt().await;
        let took = begun.elapsed();
        match result {
            Err(error) if passes(&error) && took < most => {
                *refusals.entry(short(&error)).or_default() += 1;
                sleep(pause(took)).await;
            }
            result => return Until { result, took, refusals },
        }
    }
}

/// How long it takes until something is so; `None` if it was not within the time.
pub async fn lag<F>(most: Duration, look: impl Fn() -> F) -> Result<Option<Duration>, ApiError>
where
    F: Future<Output = Result<bool, ApiError>>,
{
    let begun = Instant::now();
    loop {
        if look().await? {
            return Ok(Some(begun.elapsed()));
        }
        if begun.elapsed() >= most {
            return Ok(None);
        }
        sleep(pause(begun.elapsed())).await;
    }
}

fn pause(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(100), Duration::from_secs(3))
}

/// An error without what it was about.
pub fn short(error: &ApiError) -> String {
    let status = error.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!("{} ({status}): {}", error.code.as_deref().unwrap_or("no code"), error.message)
}

pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f32())
}

pub fn told(lag: Option<Duration>) -> String {
    lag.map_or_else(
        || "not within the time given to it".to_owned(),
        |lag| format!("after {}", seconds(lag)),
    )
}
