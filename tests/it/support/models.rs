//! AWS's own service models, and whether requests are as they say.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::proxy::Operation;
use super::python::Python;

const CHECKER: &str = include_str!("python/models.py");

/// A process that has botocore's models. It ends when its stdin closes.
pub struct Models {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Child,
}

/// What is wrong with requests, and how many there were of each operation.
pub struct Findings {
    pub violations: Vec<String>,
    pub operations: BTreeMap<String, u64>,
}

/// A member of an answer that has no members itself.
#[derive(Debug, Clone)]
pub struct Member {
    /// `VpcConfig.SubnetIds[]`
    pub path: String,
    /// `string`, `integer`, `map`…
    pub kind: String,
    /// All that it may be, if the model says so.
    pub values: Vec<String>,
}

impl Models {
    pub fn start(python: &Python) -> Self {
        let mut child = Command::new(python.program("python"))
            .args(["-c", CHECKER])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self { stdin, stdout, _child: child }
    }

    /// Every member of an operation's answer below `root`, by the names that it has on the wire.
    pub fn members(&mut self, service: &str, operation: &str, root: &str) -> Vec<Member> {
        let answer = self.ask(&json!({ "service": service, "operation": operation, "root": root }));
        let member = |it: &Value| Member {
            path: it["path"].as_str().expect("a path").to_owned(),
            kind: it["type"].as_str().expect("a type").to_owned(),
            values: it["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
        };
        answer.as_array().expect("members").iter().map(member).collect()
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stdin, "{request}").expect("the checker listens");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the checker answers");
        serde_json::from_str(&line).expect("the checker answers in JSON")
    }

    /// Checks the requests of one run.
    pub fn check(&mut self, requests: &[(Operation, Request<Bytes>)]) -> Findings {
        let requests: Vec<_> = requests.iter().map(document).collect();
        let answer = self.ask(&json!(requests));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let counts = answer["operations"].as_object().expect("operations");
        Findings {
            violations: answer["violations"].as_array().into_iter().flatten().map(text).collect(),
            operations: counts
                .iter()
                .map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default()))
                .collect(),
        }
    }
}

fn document((operation, request): &(Operation, Request<Bytes>)) -> Value {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    json!({
        "service": operation.service,
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "target": target.unwrap_or_default(),
        "body": STANDARD.encode(request.body()),
    })
}
