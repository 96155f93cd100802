//! What all services of one running local cloud share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::call::{Call, Principal};
use super::error::AwsError;
use super::policy::{self, Decision, Request};
use super::store::Store;
use super::{ACCOUNT, clock, dynamodb, http_api, iam, lambda};
use crate::failure::Failure;
use crate::invocation::shell_word;

/// The file that most of the state is in.
pub const STATE: &str = "state.sqlite";

/// One running local cloud.
pub struct Cloud {
    /// Where its state is.
    pub dir: PathBuf,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub store: Store,
    pub sessions: Sessions,
    pub dynamodb: dynamodb::Engines,
    pub lambda: lambda::Slot,
    pub throttles: http_api::Throttles,
    /// Turns true when it is to end.
    pub stopping: watch::Sender<bool>,
}

impl Cloud {
    /// Opens the state under `dir`, which must exist, to be served at `port`.
    pub fn open(dir: &Path, port: u16) -> anyhow::Result<Arc<Self>> {
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
            Failure::new(what).hint(hint).source(error).into()
        })?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            store,
            sessions: Sessions::default(),
            dynamodb: dynamodb::Engines::new(dir.join("dynamodb")),
            lambda: lambda::Slot::default(),
            throttles: http_api::Throttles::default(),
            stopping: watch::channel(false).0,
        }))
    }

    /// Whether the caller may do `action` (`service:Operation`) on `resource` (an ARN, or `*`).
    ///
    /// # Errors
    /// AWS's refusal, in the code of the called service.
    pub fn authorise(&self, call: &Call, action: &str, resource: &str) -> Result<(), AwsError> {
        self.authorise_with(call, action, resource, &[])
    }

    /// As [`Cloud::authorise`], with condition keys and their values.
    pub fn authorise_with(
        &self,
        call: &Call,
        action: &str,
        resource: &str,
        context: &[(&str, Vec<String>)],
    ) -> Result<(), AwsError> {
        let Principal::Function { role, function } = &call.principal else { return Ok(()) };
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

/// The session credentials that functions were started with. They end with the process.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, (String, String)>>);

/// What a function finds in its environment.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

/// Begins the access keys of our sessions, so that a key of an earlier run is told from an
/// operator's own.
const SESSION_KEY: &str = "ASIALOCAL";

impl Sessions {
    /// New credentials of a role (its name, without path) for a function.
    pub fn issue(&self, role: &str, function: &str) -> Credentials {
        let random = || Uuid::new_v4().simple().to_string();
        let access_key_id = format!("{SESSION_KEY}{}", &random()[..11].to_ascii_uppercase());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(access_key_id.clone(), (role.to_owned(), function.to_owned()));
        Credentials { access_key_id, secret_access_key: random(), session_token: random() }
    }

    pub fn revoke(&self, access_key_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(access_key_id);
    }

    /// Whose key it is.
    ///
    /// # Errors
    /// `InvalidClientTokenId` for a session that has ended.
    pub fn principal(&self, access_key_id: &str) -> Result<Principal, AwsError> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sessions.get(access_key_id) {
            Some((role, function)) => {
                Ok(Principal::Function { role: role.clone(), function: function.clone() })
            }
            None if access_key_id.starts_with(SESSION_KEY) => Err(AwsError::new(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            )),
            None => Ok(Principal::Operator),
        }
    }
}
