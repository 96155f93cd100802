//! What Cargo.toml tells cargo-lambda of a function: said to be ignored, with what to write instead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::workspace::Wanted;
use crate::manifest::Function;

/// Keys of `deploy` that `advent.toml` has too, and what they are called there.
const KNOWN: [(&str, &str); 3] =
    [("memory", "memory"), ("memory_size", "memory"), ("timeout", "timeout")];
/// Keys of `deploy` that hold the environment, beside the table `env` of the package.
const ENVIRONMENT: [&str; 2] = ["env", "env_var"];
/// Keys of `deploy` that change what the function does on AWS, and that advent has no word for.
const UNKNOWN: [&str; 9] = [
    "env_file",
    "include",
    "layer",
    "layers",
    "tracing",
    "vpc",
    "role",
    "iam_role",
    "enable_function_url",
];

/// A line for each setting that is not in `advent.toml`. `tables` are the `metadata` of workspace
/// and package, what counts more coming later.
pub(super) fn ignored<'a>(
    id: &str,
    function: &Function,
    wanted: &Wanted,
    tables: impl Iterator<Item = &'a Value>,
) -> Vec<String> {
    let mut instead = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for table in tables {
        let lambda = &table["lambda"];
        let bins = [&wanted.package, &wanted.binary].map(|name| &lambda["bin"][name.as_str()]);
        for settings in [lambda].into_iter().chain(bins) {
            let deploy = &settings["deploy"];
            for (key, ours) in KNOWN {
                let value = &deploy[key];
                if !value.is_null() && !function.written.contains(ours) {
                    instead.insert(ours.to_owned(), format!("{ours} = {value}"));
                }
            }
            let environments = ENVIRONMENT.iter().map(|key| &deploy[*key]);
            for (name, value) in [&settings["env"]].into_iter().chain(environments).flat_map(pairs)
            {
                if !function.environment.contains_key(&name) {
                    let line = format!("environment.{name} = {}", Value::from(value));
                    instead.insert(format!("environment {name}"), line);
                }
            }
            for key in UNKNOWN {
                if ![&Value::Null, &Value::Bool(false)].contains(&&deploy[key]) {
                    unknown.insert(key);
                }
            }
        }
    }
    let mut lines = Vec::new();
    let whose = "which is for cargo-lambda";
    if !instead.is_empty() {
        let write = instead.into_values().collect::<Vec<_>>().join("\n  ");
        lines.push(format!(
            "function `{id}`: [package.metadata.lambda] in Cargo.toml, {whose}, is ignored; if it \
             is still wanted, write under [function.{id}] in advent.toml:\n  {write}"
        ));
    }
    if !unknown.is_empty() {
        let keys = unknown.into_iter().collect::<Vec<_>>().join("`, `");
        lines.push(format!(
            "function `{id}`: `{keys}` in [package.metadata.lambda.deploy] of Cargo.toml, {whose}, \
             is ignored"
        ));
    }
    lines
}

/// Variables, as a table or as `NAME=value`.
fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pair = |item: &Value| {
        let (name, value) = item.as_str()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    match value {
        Value::Object(table) => {
            table.iter().map(|(key, value)| (key.clone(), text(value))).collect()
        }
        Value::Array(items) => items.iter().filter_map(pair).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Manifest;

    fn ignored_of(section: &str, metadata: &[Value]) -> Vec<String> {
        let text = format!("name = \"x\"\n[function.alpha]\n{section}");
        let manifest = Manifest::parse(&text, "advent.toml").unwrap();
        let wanted = Wanted {
            package: "funcs".into(),
            id: "id".into(),
            binary: "alpha".into(),
            features: Vec::new(),
            default_features: true,
        };
        ignored("alpha", &manifest.functions["alpha"], &wanted, metadata.iter())
    }

    #[test]
    fn every_setting_is_named_with_what_to_write() {
        let workspace = json!({ "lambda": { "deploy": { "memory": 128 }, "env": { "A_1": "1" } } });
        let package = json!({ "lambda": {
            "deploy": { "memory": 512, "timeout": 60, "env": { "B_1": "two" }, "tracing": "active" },
            "bin": {
                "alpha": { "deploy": { "timeout": 30, "env_var": ["C_1=3=3"], "layers": ["x"] } },
                "beta": { "deploy": { "timeout": 7 } },
            },
        } });
        let lines = ignored_of("", &[workspace.clone(), package.clone()]);
        let written = "environment.A_1 = \"1\"\n  environment.B_1 = \"two\"\n  \
                       environment.C_1 = \"3=3\"\n  memory = 512\n  timeout = 30";
        assert!(lines[0].ends_with(written), "{lines:?}");
        assert!(lines[1].contains("`layers`, `tracing`"), "{lines:?}");

        // Even if it says otherwise.
        let said =
            "memory = 256\ntimeout = 5\nenvironment = { A_1 = \"x\", B_1 = \"y\", C_1 = \"z\" }";
        assert_eq!(ignored_of(said, &[workspace, package]).len(), 1);
    }

    #[test]
    fn without_it_nothing_is_said() {
        for metadata in [json!(null), json!({ "docs": {} }), json!({ "lambda": { "build": {} } })] {
            assert_eq!(ignored_of("", &[metadata]), [""; 0]);
        }
        let off = json!({ "lambda": { "deploy": { "enable_function_url": false } } });
        assert_eq!(ignored_of("", &[off]), [""; 0]);
    }
}
