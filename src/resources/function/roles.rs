//! A function and its role: one that is not usable yet, and one that was made again.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::super::role::{self, Role, RoleId};
use super::{Function, LONGEST_TRANSITION, WAITS, read};
use crate::aws::{ApiError, Call, Context};
use crate::engine::{AlreadyExists, Conflict, Identity as _, Resource as _};

impl Function {
    /// Goes on as long as the role may become usable: not if another run has deleted it.
    pub(super) async fn with_role<T, F>(
        &self,
        cx: &Context<'_>,
        role_arn: &str,
        call: impl Fn() -> F,
    ) -> Result<Result<T, ApiError>>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let begun = Instant::now();
        loop {
            let error = match call().await {
                Err(error) if error.is("InvalidParameterValue") && error.gave_up.is_some() => error,
                answered => return Ok(answered),
            };
            if self.role_given {
                return Ok(Err(error));
            }
            let name = role_arn.rsplit('/').next().unwrap_or_default();
            if !role::exists(cx, name).await? {
                return Err(anyhow::Error::new(Conflict).context(error));
            }
            if begun.elapsed() > LONGEST_TRANSITION {
                return Ok(Err(error.after(begun.elapsed())));
            }
        }
    }

    /// Gives the function another role for a moment, one that may do nothing. Lambda's grant to read
    /// the environment is to the id of a role, and setting the role that it has already is no
    /// change: after a role was made again, every invocation would fail.
    ///
    /// Returns that role if it was made here: whoever made it deletes it, since another run may be
    /// using it too.
    pub(super) async fn leave_role(&self, cx: &Context<'_>) -> Result<Option<(Role, role::State)>> {
        cx.note("the role was made again: setting another one first, or invocations would fail");
        let names = self.id.names.clone();
        let other = Role {
            id: RoleId { name: names.other_role(&self.id.name), names },
            policies: BTreeMap::new(),
            boundary: self.role_boundary.clone(),
        };
        let existed =
            |error: &anyhow::Error| error.chain().any(<dyn std::error::Error>::is::<AlreadyExists>);
        let made = match other.create(&(), cx).await {
            // Another run is at it, or was killed meanwhile.
            Err(error) if existed(&error) => match Box::pin(other.id.find(cx)).await?.ours() {
                Some(_) => None,
                None => return Err(error),
            },
            created => Some(created?),
        };
        let other_arn = self.id.names.role_arn(&other.id.name);
        let request = cx
            .cloud
            .lambda
            .update_function_configuration()
            .function_name(&self.id.name)
            .role(&other_arn);
        let update = || {
            Call::new("lambda:UpdateFunctionConfiguration", &self.id.name)
                .wait(cx, &WAITS)
                .send(|| request.clone().send())
        };
        self.with_role(cx, &other_arn, update).await??;
        self.id.wait_ready(cx).await?;
        Ok(made.map(|state| (other, state)))
    }

    /// Deletes the role that the function had for a moment, unless another run has just given it to
    /// the function once more. One that is left has no rights, is found by its path, and is planned
    /// for deletion.
    pub(super) async fn drop_role(&self, other: &Role, state: &role::State, cx: &Context<'_>) {
        let arn = self.id.names.role_arn(&other.id.name);
        let deleted = async {
            let found = read::get(cx, &self.id.name).await?;
            let has = found.and_then(|found| found.configuration?.role);
            if has.as_deref() == Some(arn.as_str()) {
                bail!("another run has set it again");
            }
            other.id.delete(state, cx).await
        };
        if let Err(error) = deleted.await {
            cx.note(&format!("the empty role {} is left: {error:#}", other.id.name));
        }
    }
}
