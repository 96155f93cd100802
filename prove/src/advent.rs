//! Runs `advent` as its users do, and keeps what it said.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::findings::millis;
use crate::interrupt::Interrupt;

/// Tells this executable that it is to be `advent`; see `main`.
pub const AS_ADVENT: &str = "PROVE_AS_ADVENT";
/// How long one command may take: the first one builds the functions.
const LIMIT: Duration = Duration::from_mins(30);
/// How long an interrupted one may take to end what is under way.
const GRACE: Duration = Duration::from_mins(2);

/// `advent` in the throw-away folder, against the cloud that is meant.
pub struct Advent {
    pub program: PathBuf,
    /// Whether the program is this one, see [`AS_ADVENT`].
    pub own: bool,
    /// Where the manifest is.
    pub folder: PathBuf,
    /// Where the commands' records go.
    pub records: PathBuf,
    /// Follow every command.
    pub args: Vec<String>,
    /// Signs what `say` sends, and is made for this run only.
    pub secret: String,
    pub interrupt: Interrupt,
    pub ran: Vec<Ran>,
}

/// A command that ended.
#[derive(Debug, Clone, Serialize)]
pub struct Ran {
    pub command: String,
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub ms: u64,
    /// What it printed for programs.
    pub document: Value,
    pub stderr: String,
    /// Requests that change something, of those that were recorded.
    pub writes: Vec<String>,
    pub requests: usize,
    #[serde(skip)]
    pub record: PathBuf,
}

impl Advent {
    /// Runs a command on a stage, unless the run is interrupted.
    pub async fn run(&mut self, stage: &str, command: &[&str]) -> Result<Ran> {
        if self.interrupt.is_raised() {
            bail!("interrupted");
        }
        self.execute(stage, command, true).await
    }

    /// Runs a command that is to end whatever happens: what takes things down.
    pub async fn finish(&mut self, stage: &str, command: &[&str]) -> Result<Ran> {
        self.execute(stage, command, false).await
    }

    /// Lets the local cloud run, which stops when it is empty. No other needs that. Any command
    /// starts it; this one builds nothing, and what it says does not matter.
    pub async fn wake(&mut self, stage: &str) -> Result<()> {
        if self.args.iter().any(|arg| arg == "--local") {
            self.finish(stage, &["logs"]).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, stage: &str, command: &[&str], stoppable: bool) -> Result<Ran> {
        let record = self.records.join(format!("{:02}-{}.jsonl", self.ran.len() + 1, command[0]));
        let mut process = Command::new(&self.program);
        process
            .args(command)
            .args(["--json", "--yes", "--stage", stage])
            .args(&self.args)
            .current_dir(&self.folder)
            .env("ADVENT_RECORD", &record)
            .env("SLACK_SIGNING_SECRET", &self.secret)
            .env_remove("SLACK_TOKEN")
            // Its own, beside the throw-away manifest: never the project's.
            .env("ADVENT_LOCAL_DIR", self.folder.join(".advent/local"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.own {
            process.env(AS_ADVENT, "1");
        }
        // The terminal's Ctrl-C reaches this process only, which passes it on once.
        #[cfg(unix)]
        process.process_group(0);
        let shown = format!("advent {} --stage {stage}", command.join(" "));
        let begun = Instant::now();
        let child = process.spawn().with_context(|| format!("could not start {shown}"))?;
        let id = child.id();
        let output = output(child);
        tokio::pin!(output);
        let output = tokio::select! {
            output = tokio::time::timeout(LIMIT, &mut output) => output,
            () = self.interrupt.raised(), if stoppable => {
                end(id, "INT").await;
                tokio::time::timeout(GRACE, &mut output).await
            }
        };
        let Ok(output) = output else {
            end(id, "KILL").await;
            bail!("{shown} did not end in time");
        };
        let (code, stdout, stderr) = output?;
        let (writes, requests) = writes(&record);
        let ran = Ran {
            command: shown,
            code,
            ms: millis(begun.elapsed()),
            document: stdout
                .lines()
                .last()
                .and_then(|line| serde_json::from_str(line).ok())
                .or_else(|| serde_json::from_str(&stdout).ok())
                .unwrap_or_default(),
            stderr: advent::aws::record::redacted(stderr.replace(&self.secret, "(hidden)").trim()),
            writes,
            requests,
            record,
        };
        self.ran.push(ran.clone());
        Ok(ran)
    }
}

async fn output(child: Child) -> Result<(Option<i32>, String, String)> {
    let output = child.wait_with_output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

async fn end(id: Option<u32>, signal: &str) {
    if let Some(id) = id {
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, &id.to_string()]).status().await.ok();
    }
}

/// The recorded requests that change something, and how many there were.
fn writes(record: &std::path::Path) -> (Vec<String>, usize) {
    const READS: [&str; 6] = ["Get", "List", "Describe", "Filter", "GET ", "Head"];
    let entries = crate::report::entries(record);
    let operation = |entry: &Value| entry["operation"].as_str().map(str::to_owned);
    let all: Vec<_> = entries.iter().filter_map(operation).collect();
    let count = all.len();
    let changes = |operation: &String| !READS.iter().any(|read| operation.starts_with(read));
    (all.into_iter().filter(changes).collect(), count)
}

impl Ran {
    /// Ids of the resources that something was done to, with what.
    pub fn changed(&self) -> Vec<(String, String)> {
        let resources = self.document["resources"].as_array().into_iter().flatten();
        resources
            .filter(|step| step["action"] != "keep")
            .map(|step| {
                let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
                (text("id"), text("action"))
            })
            .collect()
    }

    /// Why it failed: the error, those of single resources, else the last that it told people.
    pub fn why(&self) -> String {
        let mut why = Vec::new();
        if !self.document["error"].is_null() {
            why.push(self.document["error"].to_string());
        }
        let resources = self.document["resources"].as_array().into_iter().flatten();
        for step in resources.filter(|step| step["outcome"] == "failed") {
            why.push(format!("{}: {}", step["id"], step["error"]));
        }
        if why.is_empty() {
            let lines: Vec<_> = self.stderr.lines().rev().take(4).collect();
            why.extend(lines.into_iter().rev().map(|line| line.trim().to_owned()));
        }
        let code =
            self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        format!("{code}: {}", why.join("; "))
    }

    pub fn seconds(&self) -> String {
        format!("{:.1} s", Duration::from_millis(self.ms).as_secs_f32())
    }
}
