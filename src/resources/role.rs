//! An IAM role with its inline policies.

mod document;
mod looks;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_iam::primitives::DateTime;
use aws_sdk_iam::types::Tag;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::aws::naming::{Lacking, Tags};
use crate::aws::retry::{ignore_not_found, poll_pause};
use crate::aws::{ApiError, Call, Cloud, Context, Names};
use crate::engine::{AlreadyExists, Changes, Diff, Found, Identity, Notices, Part, Resource};
use crate::failure::Failure;
use crate::ownership::judge;

use self::document::{normal, parse};
pub use self::looks::LOOKS;

/// Name of the policy that lets a function publish, after that of its first policy.
pub const PUBLISH: &str = "_snspublish";
/// How long IAM's replicas may take to see that a role's last policy is gone.
const IN_USE: Duration = Duration::from_mins(2);

pub struct RoleId {
    pub name: String,
    pub names: Names,
}

pub struct Role {
    pub id: RoleId,
    /// Inline policies by name.
    pub policies: BTreeMap<String, Value>,
    /// ARN of its permissions boundary; `None`: whatever it has is left alone.
    pub boundary: Option<String>,
}

#[derive(Debug, Clone)]
pub struct State {
    path: String,
    /// Those that it is in, which keeps it from being deleted.
    instance_profiles: Vec<String>,
    /// When it was created: a function older than its role must be pointed at it again.
    pub created: DateTime,
    trust: Value,
    policies: BTreeMap<String, Value>,
    boundary: Option<String>,
    /// ARNs of managed policies: it should have none.
    attached: Vec<String>,
    notices: Notices,
    lacking: Lacking,
}

/// Who may assume the role: Lambda.
fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole"
        }]
    })
}

impl Identity for RoleId {
    const KIND: &'static str = "role";
    const STALE_READS_AFTER_DELETE: bool = true;
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _: &State) -> Option<String> {
        Some(self.names.role_arn(&self.name))
    }

    fn protection(&self, state: &State) -> Vec<String> {
        state.instance_profiles.iter().map(|profile| self.leave(profile)).collect()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let (role, policies, profiles) =
            tokio::join!(self.get(cx), self.policy_names(cx), self.read_instance_profiles(cx));
        let Some(role) = role? else { return Ok(Found::Missing) };
        let Some(tags) = self.tags(&role, cx).await? else { return Ok(Found::Missing) };
        let ours = match judge(&self.names, &tags) {
            Ok(ours) => ours,
            Err(foreign) => return Ok(foreign.found()),
        };
        let names = policies?.into_iter();
        Ok(ours.found(State {
            instance_profiles: profiles?,
            policies: names.map(|name| (name, Value::Null)).collect(),
            ..State::of(&role)
        }))
    }

    async fn delete(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        try_join_all(state.policies.keys().map(|name| self.delete_policy(name, cx))).await?;
        let begun = Instant::now();
        loop {
            let deleted = Call::new("iam:DeleteRole", &self.name)
                .wait(cx, &[])
                .send(|| cx.cloud.iam.delete_role().role_name(&self.name).send())
                .await;
            match deleted {
                // Put there since it was read.
                Err(error) if error.is("DeleteConflict") && error.message.contains("profile") => {
                    let what = format!("the role {} is in an instance profile", self.name);
                    let list =
                        format!("iam list-instance-profiles-for-role --role-name {}", self.name);
                    let hint = format!(
                        "`{}` names it; then `{}`",
                        cx.cloud.command(&list),
                        cx.cloud.command(&self.leave("PROFILE"))
                    );
                    return Err(Failure::new(what).hint(hint).source(error).into());
                }
                Err(error) if error.is("DeleteConflict") && begun.elapsed() < IN_USE => {
                    cx.note("waiting for IAM to see that the role's policies are gone");
                    self.strip(cx).await?;
                    sleep(poll_pause(begun.elapsed())).await;
                }
                Err(error) if error.is("DeleteConflict") => {
                    return Err(error.after(begun.elapsed()).into());
                }
                deleted => return Ok(ignore_not_found(deleted)?),
            }
        }
    }
}

impl Resource for Role {
    type Id = RoleId;
    type Inputs = ();

    fn id(&self) -> &RoleId {
        &self.id
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let id = &self.id;
        let (role, policies, attached) =
            tokio::join!(id.get(cx), self.read_policies(cx), id.read_attached(cx));
        let (attached, unread) = attached?;
        let Some(role) = role? else { return Ok(Found::Missing) };
        let Some(tags) = id.tags(&role, cx).await? else { return Ok(Found::Missing) };
        let ours = match judge(&id.names, &tags) {
            Ok(ours) => ours,
            Err(foreign) => return Ok(foreign.found()),
        };
        // It is to be replaced.
        let moved = role.path != id.names.role_path();
        let instance_profiles =
            if moved { id.read_instance_profiles(cx).await? } else { Vec::new() };
        let state = State::of(&role);
        let seen = json!({
            "Description": role.description,
            "MaxSessionDuration": role.max_session_duration,
            "PermissionsBoundary": state.boundary.as_ref().filter(|_| self.boundary.is_none()),
        });
        let watched = LOOKS[0].notices("", &seen, &id.name);
        let lacking = ours.lacking().clone();
        Ok(ours.found(State {
            instance_profiles,
            policies: policies?,
            attached,
            notices: Notices { watched, unread },
            lacking,
            ..state
        }))
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        // A path stays as long as the role.
        let path = self.id.names.role_path();
        if state.path != path {
            changes.compare("path", state.path.as_str(), path.as_str());
            return Diff::Replace(changes.0);
        }
        changes.compare("trust policy", &normal(&state.trust), &normal(&trust()));
        if let Some(boundary) = &self.boundary {
            let from = state.boundary.as_deref().unwrap_or("none");
            changes.compare("permissions boundary", from, boundary.as_str());
        }
        state.lacking.compare(&mut changes);
        let all: BTreeSet<_> = self.policies.keys().chain(state.policies.keys()).collect();
        for name in all {
            let text = |policies: &BTreeMap<_, _>| {
                policies.get(name).map_or_else(|| "none".to_owned(), |p| normal(p).to_string())
            };
            let field = format!("policy {name}");
            changes.compare(&field, &text(&state.policies), &text(&self.policies));
        }
        for arn in &state.attached {
            changes.push(&format!("attached policy {arn}"), "attached", "none");
        }
        changes.update()
    }

    /// Policies that only somebody else can have put there: nothing here could put them again.
    fn removals(&self, state: &State) -> Vec<Part> {
        let made = |name: &str| {
            self.policies.keys().any(|own| {
                name.strip_prefix(own.as_str()).is_some_and(|rest| ["", PUBLISH].contains(&rest))
            })
        };
        let theirs = state.policies.keys().filter(|name| !made(name));
        let attached = state.attached.iter().map(|arn| ("attached policy", arn));
        let inline = theirs.map(|name| ("inline policy", name));
        let part = |(kind, name): (_, &String)| Part { kind, name: name.clone() };
        inline.chain(attached).map(part).collect()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let tags = sdk_tags(self.id.names.all_tags())?;
        let request = cx
            .cloud
            .iam
            .create_role()
            .role_name(&self.id.name)
            .path(self.id.names.role_path())
            .assume_role_policy_document(trust().to_string())
            .set_permissions_boundary(self.boundary.clone())
            .set_tags(Some(tags));
        let created = Call::new("iam:CreateRole", &self.id.name)
            .wait(cx, &[])
            .send(|| request.clone().send())
            .await;
        let role = match created {
            Ok(answer) => answer.role.context("IAM answered without the role it created")?,
            Err(error) if error.is("EntityAlreadyExists") => {
                return Err(anyhow::Error::new(AlreadyExists).context(error));
            }
            Err(error) => return Err(error.into()),
        };
        let state = State {
            path: self.id.names.role_path(),
            instance_profiles: Vec::new(),
            created: role.create_date,
            trust: trust(),
            policies: BTreeMap::default(),
            boundary: self.boundary.clone(),
            attached: Vec::new(),
            notices: Notices::default(),
            lacking: Lacking::default(),
        };
        self.update(&(), &state, cx).await
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        let iam = &cx.cloud.iam;
        if normal(&state.trust) != normal(&trust()) {
            let request = iam
                .update_assume_role_policy()
                .role_name(&self.id.name)
                .policy_document(trust().to_string());
            Call::new("iam:UpdateAssumeRolePolicy", &self.id.name)
                .wait(cx, &[])
                .send(|| request.clone().send())
                .await?;
        }
        // Before any right is added to what it would bound.
        if let Some(boundary) = self.boundary.as_ref().filter(|_| self.boundary != state.boundary) {
            let request = iam
                .put_role_permissions_boundary()
                .role_name(&self.id.name)
                .permissions_boundary(boundary);
            Call::new("iam:PutRolePermissionsBoundary", &self.id.name)
                .wait(cx, &[])
                .send(|| request.clone().send())
                .await?;
        }
        if !state.lacking.is_empty() {
            let tags = sdk_tags(state.lacking.tags())?;
            let request = iam.tag_role().role_name(&self.id.name).set_tags(Some(tags));
            Call::new("iam:TagRole", &self.id.name)
                .wait(cx, &[])
                .send(|| request.clone().send())
                .await?;
        }
        self.id.detach(&state.attached, cx).await?;
        let changed = self
            .policies
            .iter()
            .filter(|&(name, policy)| state.policies.get(name).map(normal) != Some(normal(policy)));
        try_join_all(changed.map(async |(name, policy)| {
            let request = iam
                .put_role_policy()
                .role_name(&self.id.name)
                .policy_name(name)
                .policy_document(policy.to_string());
            Call::new("iam:PutRolePolicy", &self.id.name)
                .wait(cx, &[])
                .send(|| request.clone().send())
                .await
        }))
        .await?;
        let extra = state.policies.keys().filter(|name| !self.policies.contains_key(*name));
        try_join_all(extra.map(|name| self.id.delete_policy(name, cx))).await?;
        Ok(State {
            path: state.path.clone(),
            instance_profiles: Vec::new(),
            created: state.created,
            trust: trust(),
            policies: self.policies.clone(),
            boundary: self.boundary.clone().or_else(|| state.boundary.clone()),
            attached: Vec::new(),
            notices: Notices::default(),
            lacking: Lacking::default(),
        })
    }
}

impl State {
    /// What IAM says of a role, without what is asked for by calls of its own.
    fn of(role: &aws_sdk_iam::types::Role) -> Self {
        let boundary = role.permissions_boundary.as_ref();
        let boundary = boundary.and_then(|set| set.permissions_boundary_arn());
        Self {
            path: role.path.clone(),
            instance_profiles: Vec::new(),
            created: role.create_date,
            trust: role.assume_role_policy_document().map(parse).unwrap_or_default(),
            policies: BTreeMap::new(),
            boundary: boundary.map(str::to_owned),
            attached: Vec::new(),
            notices: Notices::default(),
            lacking: Lacking::default(),
        }
    }
}

impl RoleId {
    /// Takes away the policies that it did not have when it was read: put by another run, or
    /// attached manually.
    async fn strip(&self, cx: &Context<'_>) -> Result<()> {
        let inline = self.policy_names(cx).await?;
        try_join_all(inline.iter().map(|name| self.delete_policy(name, cx))).await?;
        match self.attached(cx).await {
            Ok(attached) => self.detach(&attached, cx).await,
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What to call, after `aws`, to take it out of an instance profile.
    fn leave(&self, profile: &str) -> String {
        let name = &self.name;
        format!(
            "iam remove-role-from-instance-profile --instance-profile-name {profile} \
             --role-name {name}"
        )
    }

    async fn detach(&self, attached: &[String], cx: &Context<'_>) -> Result<()> {
        let iam = &cx.cloud.iam;
        try_join_all(attached.iter().map(async |arn| {
            cx.note(&format!("detaching {arn}, which somebody has attached"));
            let detached = Call::new("iam:DetachRolePolicy", &self.name)
                .wait(cx, &[])
                .send(|| iam.detach_role_policy().role_name(&self.name).policy_arn(arn).send())
                .await;
            ignore_not_found(detached)
        }))
        .await?;
        Ok(())
    }

    async fn delete_policy(&self, name: &str, cx: &Context<'_>) -> Result<()> {
        let deleted = Call::new("iam:DeleteRolePolicy", &self.name)
            .wait(cx, &[])
            .send(|| {
                cx.cloud.iam.delete_role_policy().role_name(&self.name).policy_name(name).send()
            })
            .await;
        Ok(ignore_not_found(deleted)?)
    }
}

/// Whether there is a role of this name.
pub async fn exists(cx: &Context<'_>, name: &str) -> Result<bool, ApiError> {
    let answer = Call::new("iam:GetRole", name)
        .send(|| cx.cloud.iam.get_role().role_name(name).send())
        .await;
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn tags_in(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    Ok(tags.collect::<Result<_, _>>()?)
}
