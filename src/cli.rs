//! The command line: clap types, nothing else.
#![expect(clippy::doc_markdown, reason = "clap prints these, and is no Markdown")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::aws::naming::DEFAULT_STAGE;
use crate::bundle::Arch;

/// Ships a serverless publish/subscribe application to AWS from one binary, and takes it away
/// again without a trace.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Use the local cloud, started when needed
    #[arg(long, global = true, conflicts_with_all = ["endpoint_url", "profile"])]
    pub local: bool,
    /// Use another AWS endpoint (also: AWS_ENDPOINT_URL)
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// AWS profile (also: AWS_PROFILE)
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// AWS Region (also: AWS_REGION or the profile's)
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// A copy of the stack beside others: every physical name gets this suffix
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_STAGE, hide_default_value = true)]
    pub stage: String,
    /// Processor of the functions: x86_64 or arm64 [default: this machine's]
    #[arg(long, global = true, value_name = "ARCH")]
    pub arch: Option<Arch>,
    /// How long AWS may take to answer one request, uploads aside [default: 30] (also: ADVENT_TIMEOUT)
    #[arg(long, global = true, value_name = "SECONDS", env = "ADVENT_TIMEOUT", default_value_t = 30,
          hide_default_value = true, hide_env = true, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Do not ask before something existing is deleted or replaced, or a carried application deployed
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print one JSON document on stdout, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Write every request and step into a file that Perfetto opens (ui.perfetto.dev)
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print without colour (also: NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the stack, or bring it up to date
    #[command(aliases = ["deploy", "apply"])]
    Up(Up),
    /// Show what `up` would do: exit code 0 nothing, 2 changes, 1 error
    #[command(alias = "diff")]
    Plan(Plan),
    /// Show every resource: in sync, missing or drifted
    Status,
    /// Delete the stack and everything in it
    #[command(aliases = ["destroy", "delete"])]
    Down,
    /// Send what the declared caller (Slack) would send: exit code 0 if the answer is a 2xx
    Say(Say),
    /// Show what the functions logged
    Logs(Logs),
    /// Print the IAM policy that these commands need on this stack, as JSON
    Policy(Policy),
    /// Build the functions as zips
    Build(Build),
    /// Write one executable that carries CLI, manifest and functions
    Pack(Pack),
    /// Run, stop or use the local cloud
    #[command(subcommand)]
    Local(Local),
    /// As --version
    #[command(hide = true)]
    Version,
}

#[derive(Debug, Args)]
pub struct Up {
    /// Allow what has this name to be replaced, which permanently deletes its data
    #[arg(long, value_name = "NAME", alias = "replace-table")]
    pub replace: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// Build the functions first [default: compare with what was built last]
    #[arg(long)]
    pub build: bool,
}

#[derive(Debug, Args)]
pub struct Say {
    /// What is said, trigger word included
    pub text: String,
    /// Path to send it to, if the stack has several routes
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Who says it
    #[arg(long, value_name = "NAME", default_value = "advent")]
    pub user: String,
    /// Print what acts on the terminal (escape sequences) as it comes
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Function (as advent.toml calls it) [default: all]
    pub function: Option<String>,
    /// Go on showing what comes
    #[arg(short, long)]
    pub follow: bool,
    /// How far back: 30s, 10m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    /// Print what acts on the terminal (escape sequences) as it comes
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct Policy {
    /// Commands that it is for [default: all]
    #[arg(value_enum, value_name = "COMMAND")]
    pub commands: Vec<Operates>,
    /// What the role of this function (as advent.toml calls it) must allow, instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["commands", "by_prefix"])]
    pub function: Option<String>,
    /// For this account, without asking AWS whose credentials these are
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Name what is named after the stack by the beginning of its name: shorter, and good for what is yet to come
    #[arg(long)]
    pub by_prefix: bool,
}

/// A command that makes calls to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operates {
    Up,
    Plan,
    Status,
    Down,
    Logs,
    Say,
}

#[derive(Debug, Args)]
pub struct Build {
    /// Folder for the zips
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Pack {
    /// The executable to write
    #[arg(long, value_name = "FILE", default_value = "dist/advent")]
    pub out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum Local {
    /// Run the local cloud in the foreground
    Start(Start),
    /// Stop the local cloud; its state stays
    Stop,
    /// Print what makes other AWS tools in this shell use it: eval "$(advent local env)"
    Env,
}

#[derive(Debug, Args)]
pub struct Start {
    /// Port on 127.0.0.1 [default: the last one, or any free one]
    #[arg(long)]
    pub port: Option<u16>,
    /// Folder of its state [default: .advent/local beside advent.toml]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
