//! The manifest's schema, asked by a validator that others wrote.

use std::process::Command;

use crate::support::python::python;

/// Says of each file whether the schema, which comes first, accepts it.
const VALIDATE: &str = r#"
import json, sys, tomllib
import jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.Draft7Validator(schema)
validator.check_schema(schema)
for path in sys.argv[2:]:
    print(str(validator.is_valid(tomllib.load(open(path, "rb")))).lower())
"#;

/// Wrong in one thing each, of every sort of thing that the schema knows.
const WRONG: [&str; 14] = [
    "",
    "name = 1",
    "name = \"x\"\nnames = \"y\"",
    "name = \"x\"\nlog_retention_days = 2",
    "name = \"x\"\naccount = 123456789012",
    "name = \"x\"\n[table.words]",
    "name = \"x\"\n[table.words]\nkey = \"id\"\nkeys = 1",
    "name = \"x\"\n[topic]\nname = \"x\"",
    "name = \"x\"\n[http_api]\nthrottle_rate = 0",
    "name = \"x\"\n[function.f]\nmemory = 64",
    "name = \"x\"\n[function.f]\nread = \"words\"",
    "name = \"x\"\n[function.f]\nenvironment = { A = { secrets = \"A\" } }",
    "name = \"x\"\n[function.f]\nslack = { secret = \"A\" }",
    "name = \"x\"\n[[function.f.statement]]\nactions = \"s3:GetObject\"",
];

#[test]
fn an_editor_is_told_what_advent_would_say() {
    let Some(python) = python() else { return };
    let root = env!("CARGO_MANIFEST_DIR");
    let examples = std::fs::read_dir(format!("{root}/examples")).expect("examples");
    let examples = examples.map(|entry| entry.expect("an example").path().join("advent.toml"));
    let mut files: Vec<_> = examples.filter(|path| path.exists()).collect();
    files.push(format!("{root}/advent.toml").into());
    let right = files.len();
    let wrong = tempfile::tempdir().expect("a folder");
    for (number, text) in WRONG.iter().enumerate() {
        let path = wrong.path().join(format!("{number}.toml"));
        std::fs::write(&path, text).expect("a manifest");
        files.push(path);
    }
    let output = Command::new(python.program("python"))
        .args(["-c", VALIDATE])
        .arg(format!("{root}/docs/advent.schema.json"))
        .args(&files)
        .output()
        .expect("the validator");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said.len(), files.len(), "{trouble}");
    for (number, (said, file)) in said.iter().zip(&files).enumerate() {
        let wanted = if number < right { "true" } else { "false" };
        let text = std::fs::read_to_string(file).expect("a manifest");
        assert_eq!(*said, wanted, "{}: {text}", file.display());
    }
}
