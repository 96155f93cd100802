//! What all services of one running local cloud share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::call::{ApiCall, Principal};
use super::connections::Bounds;
use super::error::AwsError;
use super::keys::{Holder, Key, Sessions};
use super::need::Need;
use super::policy::{self, Decision, Request};
use super::signature::{self, SigningKeys};
use super::store::Store;
use super::{ACCOUNT, clock, dynamodb, http_api, iam, lambda};
use crate::failure::Failure;
use crate::invocation::shell_word;

/// The file that most of the state is in.
pub const STATE: &str = "state.sqlite";

/// One running local cloud.
pub struct LocalCloud {
    /// Where its state is.
    pub dir: PathBuf,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The same for functions: a listener of their own, so that callers who wait for functions
    /// never keep these from the services.
    pub functions_url: String,
    pub(super) bounds: Bounds,
    pub store: Store,
    /// Its owner's.
    pub key: Key,
    pub sessions: Sessions,
    pub(super) signing_keys: SigningKeys,
    pub dynamodb: dynamodb::Engines,
    pub lambda: lambda::Slot,
    pub throttles: http_api::Throttles,
    /// Turns true when it is to end.
    pub stopping: watch::Sender<bool>,
}

impl LocalCloud {
    /// Opens the state under `dir`, which must exist, to be served at these ports, the second for
    /// functions.
    pub(super) fn open(
        dir: &Path,
        [port, inner]: [u16; 2],
        key: Key,
        bounds: Bounds,
    ) -> anyhow::Result<Arc<Self>> {
        let path = dir.join(STATE);
        let store = Store::open(&path).map_err(|error| {
            if Failure::of(&error).is_some() {
                return error;
            }
            let what = format!("the local cloud's state cannot be opened: {}", path.display());
            let hint = format!(
                "make room on the disk, or make the folder writable; if the file is damaged, begin \
                 anew: rm -r {}",
                shell_word(&dir.to_string_lossy())
            );
            let error = if is_full(&error) { error.context("the disk is full") } else { error };
            Failure::new(what).hint(hint).source(error).into()
        })?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            functions_url: format!("http://127.0.0.1:{inner}"),
            bounds,
            store,
            key,
            sessions: Sessions::default(),
            signing_keys: SigningKeys::default(),
            dynamodb: dynamodb::Engines::new(dir.join("dynamodb")),
            lambda: lambda::Slot::default(),
            throttles: http_api::Throttles::default(),
            stopping: watch::channel(false).0,
        }))
    }

    /// Whose an access key is.
    pub(super) fn holder(&self, access_key_id: &str) -> Option<Holder> {
        if !signature::equal(access_key_id, &self.key.access_key_id) {
            return self.sessions.holder(access_key_id);
        }
        let secret = self.key.secret_access_key.clone();
        Some(Holder { principal: Principal::Operator, secret, token: None })
    }

    /// Whether the caller may do what a call needs.
    ///
    /// # Errors
    /// AWS's refusal, in the code of the called service.
    pub fn authorise(&self, call: &ApiCall, need: &Need) -> Result<(), AwsError> {
        let Principal::Function { role, function } = &call.principal else { return Ok(()) };
        let Need { action, resource, context } = need;
        let decision = self.decide(role, function, &call.region, action, resource, context)?;
        let because = match decision {
            Decision::Allow => return Ok(()),
            Decision::ImplicitDeny => {
                format!("because no identity-based policy allows the {action} action")
            }
            Decision::ExplicitDeny => {
                "with an explicit deny in an identity-based policy".to_owned()
            }
            Decision::OutOfBounds => {
                format!("because no permissions boundary allows the {action} action")
            }
            Decision::DeniedByBoundary => {
                "with an explicit deny in a permissions boundary".to_owned()
            }
        };
        let on = if resource == "*" { String::new() } else { format!(" on resource: {resource}") };
        let (status, code) = match call.service.as_str() {
            "sns" => (403, "AuthorizationError"),
            "iam" | "sts" => (403, "AccessDenied"),
            "lambda" | "apigateway" => (403, "AccessDeniedException"),
            _ => (400, "AccessDeniedException"),
        };
        Err(AwsError::new(
            status,
            code,
            format!(
                "User: {} is not authorized to perform: {action}{on} {because}",
                call.principal.arn()
            ),
        ))
    }

    /// Whether a role's policies allow something, for what the local cloud does in its name.
    /// False when there is no such role.
    pub fn role_allows(
        &self,
        role: &str,
        function: &str,
        region: &str,
        action: &str,
        resource: &str,
    ) -> bool {
        self.decide(role, function, region, action, resource, &[])
            .is_ok_and(|decision| decision == Decision::Allow)
    }

    fn decide(
        &self,
        role: &str,
        function: &str,
        region: &str,
        action: &str,
        resource: &str,
        context: &[(&str, Vec<String>)],
    ) -> Result<Decision, AwsError> {
        let Some(role) = iam::role(self, role)? else { return Ok(Decision::ImplicitDeny) };
        let now = clock::now_ms();
        let mut keys: std::collections::BTreeMap<String, Vec<String>> = [
            ("aws:PrincipalArn", role.arn.clone()),
            ("aws:PrincipalAccount", ACCOUNT.to_owned()),
            ("aws:PrincipalType", "AssumedRole".to_owned()),
            ("aws:RequestedRegion", region.to_owned()),
            ("aws:SourceIp", "127.0.0.1".to_owned()),
            ("aws:SecureTransport", "false".to_owned()),
            ("aws:ViaAWSService", "false".to_owned()),
            ("aws:PrincipalIsAWSService", "false".to_owned()),
            ("aws:CurrentTime", clock::iso8601(now)),
            ("aws:EpochTime", (now / 1000).to_string()),
            ("aws:userid", format!("{}:{function}", role.id)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), vec![value]))
        .collect();
        for (key, value) in &role.tags {
            keys.insert(format!("aws:PrincipalTag/{key}"), vec![value.clone()]);
        }
        for (key, values) in context {
            keys.insert((*key).to_owned(), values.clone());
        }
        let request = Request { principal: None, action, resource, context: keys };
        let decision = policy::evaluate(role.documents(), &request);
        Ok(match iam::boundary(self, &role)? {
            Some(boundary) => decision.within(policy::evaluate([&boundary], &request)),
            None => decision,
        })
    }
}

/// SQLite says it in these words only where it cannot grow the file, not beside it.
fn is_full(error: &anyhow::Error) -> bool {
    use rusqlite::{Error, ffi};
    let code = match error.downcast_ref() {
        Some(Error::SqliteFailure(failure, _)) => failure.extended_code,
        _ => return false,
    };
    code == ffi::SQLITE_IOERR_SHMSIZE
}
