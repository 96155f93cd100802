//! Who the operator is: what the environment and the profiles say, checked before the SDK acts on it.

mod failure;
mod kept;
pub mod place;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsString;

use aws_config::profile::{self, ProfileSet};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use super::connect::Target;
use super::http::Bundle;
use crate::failure::Failure;
pub use kept::Kept;

/// Where a profile's credentials may come from.
const SOURCES: [&str; 8] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "credential_process",
    "web_identity_token_file",
    "login_session",
];
/// Profiles that take their credentials from one another, at most.
const LONGEST_CHAIN: usize = 20;

/// The operator's configuration.
pub struct Operator {
    /// The profile that was asked for, if one was.
    pub profile: Option<String>,
    /// On the command line: the environment's keys do not count then.
    explicit: bool,
    profiles: ProfileSet,
}

impl Operator {
    /// # Errors
    /// A [`Failure`] that names the variable or the profile that is wrong, never its value.
    pub async fn find(target: &Target) -> Result<Self, Failure> {
        legible(std::env::vars_os())?;
        let chosen = chosen_profile(target.profile.as_deref(), variable)?;
        let name = chosen.as_ref().map(|(_, name)| name.clone());
        let named = name.clone().map(Cow::Owned);
        let (fs, env, files_of) = (Fs::real(), Env::real(), EnvConfigFiles::default());
        let profiles = profile::load(&fs, &env, &files_of, named).await.map_err(|error| {
            Failure::refused("the AWS profiles could not be read")
                .hint(format!("fix {}", files().join(" or ")))
                .source(error)
        })?;
        let operator = Self { profile: name, explicit: target.profile.is_some(), profiles };
        if let Some((by, name)) = chosen {
            operator.check_profile(&by, &name)?;
        }
        if !operator.explicit {
            check_variables(variable)?;
        }
        operator.check_chain()?;
        Ok(operator)
    }

    /// What is trusted instead of the machine's roots: `AWS_CA_BUNDLE`, else the profile's
    /// `ca_bundle`, as for the AWS CLI.
    ///
    /// # Errors
    /// A [`Failure`] that names the file, and what names it.
    pub fn bundle(&self) -> Result<Option<Bundle>, Failure> {
        if let Some(file) = variable("AWS_CA_BUNDLE") {
            return Bundle::read("AWS_CA_BUNDLE", &file).map(Some);
        }
        let Some(file) = self.key("ca_bundle") else { return Ok(None) };
        Bundle::read(&format!("ca_bundle of profile `{}`", self.name()), file).map(Some)
    }

    /// Of the profile that counts.
    pub fn key(&self, key: &str) -> Option<&str> {
        self.profiles.get(key).filter(|value| !value.trim().is_empty())
    }

    /// The profile that counts.
    pub fn name(&self) -> &str {
        self.profiles.selected_profile()
    }

    /// Whether the environment's keys are who the operator is.
    pub fn is_of_variables(&self) -> bool {
        !self.explicit && variable("AWS_ACCESS_KEY_ID").is_some()
    }

    fn check_profile(&self, by: &str, name: &str) -> Result<(), Failure> {
        if self.profiles.get_profile(name).is_none() {
            // The one that is asked for by itself may be missing.
            if name == "default" && !self.explicit {
                return Ok(());
            }
            return Err(self.no_profile(by, name));
        }
        if self.explicit && self.sources(name).is_empty() {
            let what = format!("profile `{name}` has no credentials");
            let hint = "it needs a key with its secret, role_arn, sso_session, login_session, \
                        credential_process or web_identity_token_file";
            return Err(Failure::refused(what).hint(hint));
        }
        Ok(())
    }

    fn no_profile(&self, by: &str, name: &str) -> Failure {
        let by = if by.is_empty() { String::new() } else { format!(" ({by})") };
        let what = format!("there is no profile `{name}`{by} in {}", files().join(" or "));
        let mut names: Vec<_> = self.profiles.profiles().collect();
        names.sort_unstable();
        let hint = if names.is_empty() {
            "there is none at all: `aws configure --profile NAME` makes one; without an AWS \
             account, try --local"
                .to_owned()
        } else {
            format!(
                "there are: {}; in the config file a section is called [profile NAME]",
                names.join(", ")
            )
        };
        Failure::refused(what).hint(hint)
    }

    /// What a profile says about where its credentials come from.
    fn sources(&self, profile: &str) -> Vec<&'static str> {
        let Some(profile) = self.profiles.get_profile(profile) else { return Vec::new() };
        let set = |key: &&str| profile.get(key).is_some_and(|value| !value.trim().is_empty());
        SOURCES.into_iter().filter(set).collect()
    }

    /// The profile that counts and those that it takes its credentials from, as far as they exist.
    fn chain(&self) -> Vec<&str> {
        let mut chain = Vec::new();
        let mut next = Some(self.name());
        while let Some(name) = next.filter(|name| !chain.contains(name)) {
            let Some(profile) = self.profiles.get_profile(name) else { break };
            chain.push(profile.name());
            next = profile.get("source_profile").filter(|_| chain.len() < LONGEST_CHAIN);
        }
        chain
    }

    /// The profiles' keys, as the SDK will use them.
    fn check_chain(&self) -> Result<(), Failure> {
        if self.is_of_variables() {
            return Ok(());
        }
        for name in self.chain() {
            let Some(profile) = self.profiles.get_profile(name) else { continue };
            let set = |key| profile.get(key).filter(|value| !value.is_empty());
            let pair = ["aws_access_key_id", "aws_secret_access_key"];
            if let Some(what) = half(pair, pair.map(|key| set(key).is_some())) {
                let hint = format!("fix profile `{name}` in {}", files().join(" or "));
                return Err(Failure::refused(format!("in profile `{name}` {what}")).hint(hint));
            }
            for key in ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"] {
                if let Some(value) = set(key) {
                    sendable(value).map_err(|why| {
                        Failure::refused(format!("{key} of profile `{name}` {why}"))
                            .hint("copy it again, without anything around it")
                    })?;
                }
            }
            if set("mfa_serial").is_some() && set("role_arn").is_some() {
                let what =
                    format!("profile `{name}` wants an MFA code, which advent cannot ask for");
                let hint = format!(
                    "let the AWS CLI ask: `eval \"$(aws configure export-credentials --profile {name} \
                     --format env)\"`, then run it again without the profile"
                );
                return Err(Failure::refused(what).hint(hint));
            }
            if let Some(url) = profile.get("endpoint_url") {
                place::check_url(&format!("endpoint_url of profile `{name}`"), url)?;
            }
        }
        Ok(())
    }
}

/// What was answered is sent in a header, and the SDK panics where that is impossible.
///
/// # Errors
/// A [`Failure`] that says where they come from.
pub fn check(credentials: &Credentials, from: &str) -> Result<(), Failure> {
    let token = credentials.session_token().unwrap_or("none");
    let parts = [
        ("the access key id", credentials.access_key_id()),
        ("the secret access key", credentials.secret_access_key()),
        ("the session token", token),
    ];
    for (name, value) in parts {
        sendable(value).map_err(|why| {
            Failure::refused(format!("{name} that {from} gives {why}"))
                .hint("copy it again, without anything around it")
        })?;
    }
    Ok(())
}

/// Whether it can be in a header as it is; else, why not.
fn sendable(value: &str) -> Result<(), &'static str> {
    match value.chars().find(|c| !c.is_ascii_graphic()) {
        None if value.is_empty() => Err("is empty"),
        None => Ok(()),
        Some(c) if c.is_whitespace() => Err("contains white space"),
        Some(c) if c.is_control() => Err("contains control characters"),
        Some(_) => Err("contains characters that no key has"),
    }
}

/// One of two without the other.
fn half([key, secret]: [&str; 2], [has_key, has_secret]: [bool; 2]) -> Option<String> {
    match (has_key, has_secret) {
        (true, false) => Some(format!("{key} is set, but {secret} is not")),
        (false, true) => Some(format!("{secret} is set, but {key} is not")),
        _ => None,
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// # Errors
/// A [`Failure`] for a variable of the AWS SDKs that is no text: they take it for unset.
fn legible(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Failure> {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_")) else { continue };
        // The secret ones are looked at more closely.
        let secret = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let is_text = value.to_str().is_some_and(|value| {
            secret.contains(&name) || !value.contains(|c: char| c.is_control())
        });
        if !is_text {
            let what = format!("{name} is not plain text");
            return Err(Failure::refused(what).hint("set it again, or unset it"));
        }
    }
    Ok(())
}

/// What names the profile, if that is not the command line, and its name.
fn chosen_profile(
    asked: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(String, String)>, Failure> {
    if let Some(name) = asked {
        return Ok(Some((String::new(), name.to_owned())));
    }
    let [sdk, cli] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    match (variable(sdk), variable(cli)) {
        (Some(one), Some(other)) if one != other => {
            let what = format!("{sdk} names `{one}`, {cli} names `{other}`");
            let hint = "AWS's tools do not agree which counts: unset one, or choose with --profile";
            Err(Failure::refused(what).hint(hint))
        }
        (Some(name), _) => Ok(Some((sdk.to_owned(), name))),
        (None, Some(name)) => Ok(Some((cli.to_owned(), name))),
        (None, None) => Ok(None),
    }
}

/// Keys in the environment: both or none, and nothing in them that is no part of them.
fn check_variables(variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let pair = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let has_secret = variable(pair[1]).is_some() || variable("SECRET_ACCESS_KEY").is_some();
    let has_key = variable(pair[0]).is_some();
    // Other programs have one of that name.
    if let Some(what) = half(pair, [has_key, has_secret])
        && (has_key || variable(pair[1]).is_some())
    {
        let hint = "set both, or unset it to use a profile; without an AWS account, try --local";
        return Err(Failure::refused(what).hint(hint));
    }
    if !has_key {
        return Ok(());
    }
    for name in [pair[0], pair[1], "AWS_SESSION_TOKEN"] {
        let Some(value) = variable(name) else { continue };
        sendable(&value).map_err(|why| {
            Failure::refused(format!("{name} {why}"))
                .hint("set it again, without anything around it")
        })?;
    }
    Ok(())
}

/// The files with the profiles, as they are to be called.
fn files() -> [String; 2] {
    [("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")]
        .map(|(name, usual)| variable(name).unwrap_or_else(|| usual.to_owned()))
}
