//! Why there are no credentials, in words that say what to do.

use aws_credential_types::provider::error::CredentialsError;

use super::{Operator, variable};
use crate::failure::Failure;

/// What a machine or a container may be given credentials by.
const GIVEN: [&str; 3] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

const NONE: &str = "sign in (`aws sso login`, `aws login`), choose a profile with --profile NAME, or \
                    set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without an AWS account, try \
                    --local";

impl Operator {
    /// Whom the credentials come from, in words.
    pub fn from(&self) -> String {
        if self.is_of_variables() {
            "the environment".to_owned()
        } else if self.profile.is_some() || !self.sources(self.name()).is_empty() {
            format!("profile `{}`", self.name())
        } else {
            "this machine".to_owned()
        }
    }

    /// Why nobody gave credentials. `proxy` is what AWS is reached through.
    pub fn failure(&self, error: &CredentialsError, proxy: Option<&str>) -> Failure {
        let name = self.name();
        let said = innermost(error);
        let chain = self.chain();
        let with = |key: &str| {
            chain.iter().copied().find(|profile| {
                self.profiles.get_profile(profile).is_some_and(|profile| profile.get(key).is_some())
            })
        };
        let unreached = is_unreached(error, &said);
        let network = match proxy {
            Some(proxy) => format!("check the network and the proxy {proxy}"),
            None => "check the network and HTTPS_PROXY".to_owned(),
        };
        let failed =
            |what: String, hint: String| Failure::refused(what).hint(hint).source(said.clone());
        if self.sources(name).is_empty() {
            let given = GIVEN.into_iter().find(|name| variable(name).is_some());
            if let Some(given) = given {
                return failed(
                    format!("{given} is set, but no AWS credentials came of it"),
                    "check what it names; without an AWS account, try --local".to_owned(),
                );
            }
            // Only the machine's own metadata is left, which most machines do not have.
            let of = self.profile.as_ref().map(|name| format!(": profile `{name}` has none"));
            let what = format!("no AWS credentials were found{}", of.unwrap_or_default());
            return Failure::refused(what).hint(NONE);
        }
        if let Some(profile) = with("sso_session").or(with("sso_start_url")) {
            if unreached {
                return failed(
                    format!("the SSO of profile `{profile}` could not be reached"),
                    network,
                );
            }
            let login = format!("`aws sso login --profile {profile}`");
            return if said.contains("No access") || said.contains("ForbiddenException") {
                let what = format!("SSO does not give profile `{profile}` its role");
                failed(
                    what,
                    "check sso_account_id and sso_role_name, or ask who assigns them".to_owned(),
                )
            } else {
                let what = format!("profile `{profile}` is not signed in to SSO, or no longer");
                failed(what, format!("sign in: {login}"))
            };
        }
        if let Some(profile) = with("login_session") {
            if unreached {
                return failed(
                    format!("the sign-in of profile `{profile}` could not be reached"),
                    network,
                );
            }
            let what = format!("profile `{profile}` is not signed in, or no longer");
            return failed(what, format!("sign in: `aws login --profile {profile}`"));
        }
        if let Some(profile) =
            with("credential_process").filter(|_| said.contains("external process"))
        {
            let what = format!("the credential_process of profile `{profile}` gave no credentials");
            return failed(what, "run it on its own and look at what it says".to_owned());
        }
        if let Some(profile) = with("role_arn") {
            let what = format!("the role of profile `{profile}` could not be assumed");
            let hint = if unreached {
                network
            } else {
                format!("check role_arn, source_profile and what else profile `{profile}` says")
            };
            return failed(what, hint);
        }
        if matches!(error, CredentialsError::ProviderTimedOut(_)) {
            let what = format!("profile `{name}` gave no credentials in time");
            return failed(what, network);
        }
        let hint = format!("check what profile `{name}` says in {}", super::files().join(" and "));
        failed(format!("the AWS credentials of profile `{name}` could not be loaded"), hint)
    }
}

/// What every error of the SDK wraps.
fn innermost(error: &CredentialsError) -> String {
    let mut error: &dyn std::error::Error = error;
    let mut said = String::new();
    loop {
        let text = error.to_string();
        // The SDK's own outer words say nothing.
        if !["service error", "unhandled error", "dispatch failure"].contains(&text.as_str()) {
            said = text;
        }
        match error.source() {
            Some(source) => error = source,
            None => return said,
        }
    }
}

fn is_unreached(error: &CredentialsError, said: &str) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string() == "dispatch failure" {
            return true;
        }
        cause = error.source();
    }
    said.contains("timed out")
}
