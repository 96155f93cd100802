//! Parses the command line, runs it, exits; whatever goes wrong ends as an error that says so.

use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use advent::failure::Failure;
use advent::invocation::{self, Invocation};
use advent::report::{Options, Report};
use clap::error::ErrorKind;

/// The first panic: what it said, and where.
static PANIC: OnceLock<String> = OnceLock::new();

fn main() -> ExitCode {
    if let Some(compiled) = advent::bundle::stand_in(invocation::begins) {
        return compiled.unwrap_or_else(|error| {
            // Cargo shows it; where standard error is gone nobody can be told.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::from(101)
        });
    }
    if let Some(code) = without_empty_variables() {
        return code;
    }
    let cli = match invocation::parse() {
        Ok(cli) => cli,
        Err(error) => return bad_usage(&error),
    };
    let options = Options::detect(cli.global.json, cli.global.quiet, cli.global.no_color);
    let report = Report::new(options);
    report.name_commands(Invocation::of(&cli.global));
    for secret in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        report.hide(&std::env::var(secret).unwrap_or_default());
    }
    set_hook(Box::new(remember));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.error(&error.into());
            return ExitCode::FAILURE;
        }
    };
    let run = || runtime.block_on(advent::commands::run(cli, &report));
    let result = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(panic) => Err(internal_error(panic.as_ref()).into()),
    };
    match result {
        Ok(0) if report.is_lost() => ExitCode::FAILURE,
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report.error(&error);
            ExitCode::from(Failure::of(&error).map_or(1, |failure| failure.exit))
        }
    }
}

/// Runs without the variables that are set to nothing, if there are some: to everybody that is as
/// if they were not set, but the AWS SDK reads the environment itself and takes them at their
/// word, and a process cannot safely change its own.
fn without_empty_variables() -> Option<ExitCode> {
    const OTHERS: [&str; 6] =
        ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let counts = |name: &str| {
        let upper = name.to_ascii_uppercase();
        name.starts_with("AWS_") || name.starts_with("ADVENT_") || OTHERS.contains(&upper.as_str())
    };
    let empty: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| value.is_empty() && name.to_str().is_some_and(counts))
        .map(|(name, _)| name)
        .collect();
    if empty.is_empty() {
        return None;
    }
    let mut args = std::env::args_os();
    let name = args.next()?;
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(args);
    for variable in empty {
        command.env_remove(variable);
    }
    replace(command, &name)
}

/// Goes on as another process; comes back only where that cannot be.
#[cfg(unix)]
fn replace(mut command: Command, name: &std::ffi::OsStr) -> Option<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let _cannot = command.arg0(name).exec();
    None
}

#[cfg(not(unix))]
fn replace(mut command: Command, _: &std::ffi::OsStr) -> Option<ExitCode> {
    let code = command.status().ok()?.code().and_then(|code| u8::try_from(code).ok());
    Some(ExitCode::from(code.unwrap_or(1)))
}

/// What clap says, in the document of `--json` if that was asked for.
fn bad_usage(error: &clap::Error) -> ExitCode {
    let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let args = std::env::args_os().skip(1).take_while(|arg| arg != "--");
    let args: Vec<_> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let report = Report::new(Options::detect(json, false, true));
    if json && error.kind() == ErrorKind::DisplayVersion {
        report.document(&invocation::version_document());
        return if report.is_lost() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    if shown || !json {
        // Where standard error is gone nobody can be told.
        drop(error.print());
        if !shown && invocation::is_for_eval(&args) && !report.results_are_read() {
            advent::commands::fail_eval(&report);
        }
        return ExitCode::from(if shown { 0 } else { 2 });
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ").trim_end();
    let (what, hint) = text.split_once("\n\n").unwrap_or((text, "`advent --help`"));
    let failure = Failure::refused(what.trim()).hint(hint.trim());
    report.error(&failure.into());
    ExitCode::from(2)
}

fn remember(panic: &PanicHookInfo<'_>) {
    let said = payload(panic.payload());
    let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
    // The local cloud's log takes this, and nobody else.
    tracing::error!("panic: {said}{place}");
    drop(PANIC.set(format!("{said}{place}")));
}

fn payload(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason")
}

/// A panic is a defect of ours, whatever brought it about.
fn internal_error(panic: &(dyn Any + Send)) -> Failure {
    let said = PANIC.get().map_or_else(|| payload(panic), String::as_str);
    Failure::new(format!("internal error: {said}")).hint(concat!(
        "this is a defect of advent ",
        env!("CARGO_PKG_VERSION"),
        ": please report the command and this text at ",
        env!("CARGO_PKG_REPOSITORY"),
        "/issues; whatever was begun, running the command again continues"
    ))
}
