//! Parses the command line, runs it, exits.

use std::process::ExitCode;

use advent::cli::Cli;
use advent::failure::Failure;
use advent::report::{Options, Report};
use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = advent::bundle::stand_in() {
        return code;
    }
    let cli = Cli::parse();
    let options = Options::detect(cli.global.json, cli.global.quiet, cli.global.no_color);
    let report = Report::new(options);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.error(&error.into());
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(advent::commands::run(cli, &report)) {
        Ok(0) if report.is_lost() => ExitCode::FAILURE,
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report.error(&error);
            ExitCode::from(Failure::of(&error).map_or(1, |failure| failure.exit))
        }
    }
}
