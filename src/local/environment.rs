//! The environment in which other AWS tools use a local cloud, as a POSIX shell sets it.

use std::collections::BTreeMap;

use super::REGION;
use super::lifecycle::Running;
use crate::invocation::shell_word;

/// Where nothing listens, and what a tool's error then shows.
const NOWHERE: &str = "http://127.0.0.1:9/no-local-cloud-runs";

/// What else would send a tool elsewhere, or keep it from the local cloud. A profile's Region,
/// keys and endpoints are overridden by variables, but not its name: JavaScript's SDK takes a
/// named profile's keys before the environment's, and Python's fails if there is none.
const MISLEADING: [&str; 6] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCOUNT_ID",
];

/// The endpoint of one service comes before that of all.
const ENDPOINT_OF_ONE: &str = "AWS_ENDPOINT_URL_";

/// Variables to set, and to unset.
#[derive(Debug, PartialEq, Eq)]
pub struct Environment {
    set: BTreeMap<&'static str, String>,
    unset: Vec<String>,
}

impl Environment {
    /// In which AWS tools use `running`, or reach no cloud at all. `own` is the environment that
    /// they have now.
    pub fn new(running: Option<&Running>, own: impl Iterator<Item = (String, String)>) -> Self {
        let own: BTreeMap<_, _> = own.collect();
        let url = running.map_or(NOWHERE, |running| &running.url);
        let key = running.map(|running| &running.key);
        let mut set: BTreeMap<_, _> = [
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", key.map_or("nobody", |key| &key.access_key_id)),
            ("AWS_SECRET_ACCESS_KEY", key.map_or("none", |key| &key.secret_access_key)),
            // Python's SDK and the AWS CLI know the second only.
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            // Whatever the profile says.
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"),
            // Neither goes with an endpoint of one's own.
            ("AWS_USE_DUALSTACK_ENDPOINT", "false"),
            ("AWS_USE_FIPS_ENDPOINT", "false"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        let has = |name: &str| own.get(name).is_some_and(|value| !value.is_empty());
        if ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].into_iter().any(has) {
            for name in ["no_proxy", "NO_PROXY"] {
                // Tools differ in which they read; what either says stays.
                let now = [name, "no_proxy", "NO_PROXY"].into_iter().find(|name| has(name));
                set.insert(name, directly(now.map_or("", |name| own[name].as_str())));
            }
        }
        let of_one = own.keys().filter(|name| name.starts_with(ENDPOINT_OF_ONE));
        let of_one = of_one.filter(|name| is_name(name)).cloned();
        let unset = MISLEADING.map(str::to_owned).into_iter().chain(of_one).collect();
        Self { set, unset }
    }

    /// The variables that are set.
    pub fn variables(&self) -> &BTreeMap<&'static str, String> {
        &self.set
    }

    /// Lines for `eval`.
    pub fn script(&self) -> String {
        let unset = format!("unset {}", self.unset.join(" "));
        let export =
            |(name, value): (&&str, &String)| format!("export {name}={}", shell_word(value));
        [unset].into_iter().chain(self.set.iter().map(export)).collect::<Vec<_>>().join("\n")
    }
}

/// A list of hosts that no proxy is asked for, with this machine in it.
fn directly(hosts: &str) -> String {
    let mut hosts: Vec<_> = hosts.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    for own in ["127.0.0.1", "localhost"] {
        if !hosts.contains(&own) && !hosts.contains(&"*") {
            hosts.push(own);
        }
    }
    hosts.join(",")
}

/// Whether a shell takes it for a variable's name.
fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(own: &[(&str, &str)]) -> Environment {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Environment::new(None, own)
    }

    #[test]
    fn what_misleads_is_unset() {
        let plain = environment(&[]);
        assert_eq!(plain.unset, MISLEADING);
        let own = [("AWS_ENDPOINT_URL_SQS", "http://x"), ("AWS_ENDPOINT_URL_$(x)", "y")];
        let script = environment(&own).script();
        assert!(script.lines().next().unwrap().ends_with(" AWS_ENDPOINT_URL_SQS"), "{script}");
    }

    #[test]
    fn no_proxy_is_asked_for_this_machine() {
        let no_proxy = |own: &[(&str, &str)]| {
            let set = environment(own).set;
            (set.get("no_proxy").cloned(), set.get("NO_PROXY").cloned())
        };
        let both = |hosts: &str| (Some(hosts.to_owned()), Some(hosts.to_owned()));
        assert_eq!(no_proxy(&[("HTTPS_PROXY", "http://p")]), (None, None));
        assert_eq!(no_proxy(&[("HTTP_PROXY", "http://p")]), both("127.0.0.1,localhost"));
        let some = [("http_proxy", "http://p"), ("NO_PROXY", "x.org, 127.0.0.1")];
        assert_eq!(no_proxy(&some), both("x.org,127.0.0.1,localhost"));
        assert_eq!(no_proxy(&[("all_proxy", "http://p"), ("no_proxy", "*")]), both("*"));
    }
}
