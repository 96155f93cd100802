//! What IAM tells of a role, by calls of its own each.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::Value;

use super::super::watch::optional;
use super::document::parse;
use super::{Role, RoleId, tags_in};
use crate::aws::naming::Tags;
use crate::aws::{ApiError, Call, Context, Pages, told};
use crate::engine::Unread;

impl RoleId {
    /// The role, unless there is none.
    pub(super) async fn get(
        &self,
        cx: &Context<'_>,
    ) -> Result<Option<aws_sdk_iam::types::Role>, ApiError> {
        let answer = Call::new("iam:GetRole", &self.name)
            .send(|| cx.cloud.iam.get_role().role_name(&self.name).send())
            .await;
        match answer {
            Ok(answer) => told(answer.role, "Role", ("iam:GetRole", &self.name)).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its tags: where it seems to have none, asked for by themselves. `None` if it is gone.
    pub(super) async fn tags(
        &self,
        role: &aws_sdk_iam::types::Role,
        cx: &Context<'_>,
    ) -> Result<Option<Tags>, ApiError> {
        match tags_in(role.tags()) {
            tags if tags.is_empty() => self.read_tags(cx).await,
            tags => Ok(Some(tags)),
        }
    }

    async fn read_tags(&self, cx: &Context<'_>) -> Result<Option<Tags>, ApiError> {
        const CALL: &str = "iam:ListRoleTags";
        let tags = Pages::of(CALL, &self.name).all(|marker| async move {
            let list = cx.cloud.iam.list_role_tags().role_name(&self.name).set_marker(marker);
            let page = Call::new(CALL, &self.name).send(|| list.clone().send()).await?;
            Ok((page.tags, page.marker))
        });
        match tags.await {
            Ok(tags) => Ok(Some(tags_in(&tags))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of the inline policies; none where there is no such role, or none any longer.
    pub(super) async fn policy_names(&self, cx: &Context<'_>) -> Result<Vec<String>, ApiError> {
        const CALL: &str = "iam:ListRolePolicies";
        let names = Pages::of(CALL, &self.name).all(|marker| async move {
            let list = cx.cloud.iam.list_role_policies().role_name(&self.name).set_marker(marker);
            let page = Call::new(CALL, &self.name).send(|| list.clone().send()).await?;
            Ok((page.policy_names, page.marker))
        });
        match names.await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            names => names,
        }
    }

    async fn read_policy(&self, name: &str, cx: &Context<'_>) -> Result<Option<(String, Value)>> {
        let answer = Call::new("iam:GetRolePolicy", &self.name)
            .send(|| cx.cloud.iam.get_role_policy().role_name(&self.name).policy_name(name).send())
            .await;
        match answer {
            Ok(answer) => Ok(Some((name.to_owned(), parse(&answer.policy_document)))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The managed policies that it has, if they may be asked for.
    pub(super) async fn read_attached(
        &self,
        cx: &Context<'_>,
    ) -> Result<(Vec<String>, Vec<Unread>)> {
        let mut unread = Vec::new();
        let attached = optional("attached policies", self.attached(cx).await, &mut unread)?;
        Ok((attached.unwrap_or_default(), unread))
    }

    /// Names of the instance profiles that it is in, which keep it from being deleted.
    pub(super) async fn read_instance_profiles(
        &self,
        cx: &Context<'_>,
    ) -> Result<Vec<String>, ApiError> {
        const CALL: &str = "iam:ListInstanceProfilesForRole";
        let profiles = Pages::of(CALL, &self.name).all(|marker| async move {
            let list = cx.cloud.iam.list_instance_profiles_for_role().role_name(&self.name);
            let list = list.set_marker(marker);
            let page = Call::new(CALL, &self.name).send(|| list.clone().send()).await?;
            Ok((page.instance_profiles, page.marker))
        });
        let mut unread = Vec::new();
        let profiles = optional("instance profiles", profiles.await, &mut unread)?;
        for Unread { what, why } in unread {
            cx.note(&format!("whether {what} keep it from being deleted is not known: {why}"));
        }
        Ok(profiles
            .unwrap_or_default()
            .into_iter()
            .map(|profile| profile.instance_profile_name)
            .collect())
    }

    /// ARNs of the managed policies that it has.
    pub(super) async fn attached(&self, cx: &Context<'_>) -> Result<Vec<String>, ApiError> {
        const CALL: &str = "iam:ListAttachedRolePolicies";
        let attached = Pages::of(CALL, &self.name).all(|marker| async move {
            let list = cx.cloud.iam.list_attached_role_policies().role_name(&self.name);
            let list = list.set_marker(marker);
            let page = Call::new(CALL, &self.name).send(|| list.clone().send()).await?;
            Ok((told(page.attached_policies, "AttachedPolicies", (CALL, &self.name))?, page.marker))
        });
        Ok(attached.await?.into_iter().filter_map(|policy| policy.policy_arn).collect())
    }
}

impl Role {
    /// The inline policies, and what they say.
    pub(super) async fn read_policies(&self, cx: &Context<'_>) -> Result<BTreeMap<String, Value>> {
        let listed = self.id.policy_names(cx);
        // The policies that should be there can be asked for before their names are listed.
        let expected = try_join_all(self.policies.keys().map(|name| self.id.read_policy(name, cx)));
        let (listed, expected) = tokio::join!(listed, expected);
        let listed = listed?;
        let mut policies: BTreeMap<_, _> = expected?.into_iter().flatten().collect();
        let unexpected = listed.iter().filter(|name| !self.policies.contains_key(*name));
        let unexpected = try_join_all(unexpected.map(|name| self.id.read_policy(name, cx))).await?;
        policies.extend(unexpected.into_iter().flatten());
        Ok(policies)
    }
}
