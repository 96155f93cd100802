//! How this program was called: its arguments, and the commands it names, called alike.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};

use crate::aws::naming::DEFAULT_STAGE;
use crate::bundle;
use crate::cli::{Cli, Global};

/// How a text names a command: `` `advent up` ``.
const OPENING: &str = "`advent ";

/// Commands that mean the same whatever options were given.
const APART: [&str; 3] = ["local", "version", "help"];

/// The program's name as it was called, and the options that lead to the same stage.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Fit for a shell.
    program: String,
    options: Vec<Given>,
}

/// An option that was given.
#[derive(Debug, Clone)]
struct Given {
    flag: &'static str,
    value: Option<String>,
    whose: Whose,
}

/// Which commands an option belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those that are about one stage in one cloud.
    Stages,
    /// As `Stages`, unless the command says `--local` itself: both together are refused.
    Elsewhere,
    /// Those that compare or build code.
    Builders,
}

impl Invocation {
    /// This process's.
    pub fn of(global: &Global) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let called = std::env::args_os().next().unwrap_or_default();
        let own = std::env::current_exe().ok();
        let program = through_cargo().unwrap_or_else(|| program(&called, own.as_deref(), &path));
        Self { program, options: options(global) }
    }

    /// The text with every `` `advent COMMAND …` `` in it as it has to be typed: the name that this
    /// program was called by, and the options that were given.
    pub fn complete(&self, text: &str) -> String {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(OPENING) {
            let (before, named) = rest.split_at(at);
            done.push_str(before);
            let Some(end) = named[1..].find('`') else {
                rest = named;
                break;
            };
            let command = &named[OPENING.len()..=end];
            if let Some(line) = self.command(command) {
                let _ = write!(done, "`{line}`");
                rest = &named[end + 2..];
            } else {
                // The closing quote may open another.
                done.push_str(&named[..=end]);
                rest = &named[end + 1..];
            }
        }
        done + rest
    }

    /// The whole command line of `command`, if it is a subcommand with its arguments.
    fn command(&self, command: &str) -> Option<String> {
        let (subcommand, arguments) = command.split_once(' ').unwrap_or((command, ""));
        if !(about_a_stage(subcommand) || about_code(subcommand) || APART.contains(&subcommand)) {
            return None;
        }
        let mut line = format!("{} {subcommand}", self.program);
        for Given { flag, value, whose } in &self.options {
            let has = |flag: &str| arguments.split(' ').any(|argument| argument == flag);
            let wanted = match whose {
                Whose::Stages => about_a_stage(subcommand),
                Whose::Elsewhere => about_a_stage(subcommand) && !has("--local"),
                Whose::Builders => about_code(subcommand),
            };
            if wanted && !has(flag) {
                let _ = write!(line, " {flag}");
                if let Some(value) = value {
                    let _ = write!(line, " {}", shell_word(value));
                }
            }
        }
        if !arguments.is_empty() {
            let _ = write!(line, " {arguments}");
        }
        Some(line)
    }
}

/// The command line of this process.
///
/// # Errors
/// What clap has to say: of a wrong command line, or because it was asked for help or the version.
pub fn parse() -> Result<Cli, clap::Error> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    // Only who asks what this is waits for what it carries to be looked up.
    let asks = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let Some(carried) = carried().filter(|_| asks) else { return Err(error) };
    // Once, for the rest of the process.
    let version: &str = version().leak();
    let command = Cli::command().version(version).after_help(carried);
    command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches))
}

/// Whether a command line of this program may begin with this: an option, or a subcommand.
pub fn begins(first: &OsStr) -> bool {
    let command = Cli::command();
    let Some(first) = first.to_str() else { return false };
    first.starts_with('-') || first == "help" || command.find_subcommand(first).is_some()
}

/// Whether these arguments, which are no command line, are to print what a shell evaluates.
pub fn is_for_eval(arguments: &[String]) -> bool {
    let command = Cli::command();
    let mut words = arguments.iter().skip_while(|word| command.find_subcommand(word).is_none());
    words.next().is_some_and(|word| word == "local")
        && !words.any(|word| ["start", "stop"].contains(&word.as_str()))
}

/// As `--json --version` says it.
pub fn version_document() -> serde_json::Value {
    let mut document = serde_json::json!({ "advent": env!("CARGO_PKG_VERSION"), "carries": null });
    match bundle::carried() {
        Ok(None) => {}
        Ok(Some(carried)) => {
            document["carries"] = serde_json::json!({
                "stack": carried.stack,
                "functions": carried.functions,
                "arch": carried.arch.to_string(),
            });
        }
        Err(error) => document["unreadable"] = format!("{error:#}").into(),
    }
    document
}

/// As `--version` says it, without the program's name.
pub fn version() -> String {
    let own = env!("CARGO_PKG_VERSION");
    carried().map_or_else(|| own.to_owned(), |carried| format!("{own}\n{carried}"))
}

/// What this executable carries, as a sentence.
fn carried() -> Option<String> {
    match bundle::carried() {
        Ok(carried) => Some(format!("This executable carries {}.", carried?)),
        Err(error) => Some(format!("This executable cannot be read: {error}.")),
    }
}

/// Commands that are about a stage of the application, and so about an account or the local cloud.
fn about_a_stage(subcommand: &str) -> bool {
    ["up", "plan", "status", "down", "say", "logs", "policy"].contains(&subcommand)
}

/// Commands to which the functions' processor makes a difference.
fn about_code(subcommand: &str) -> bool {
    ["up", "plan", "status", "build", "pack"].contains(&subcommand)
}

fn options(global: &Global) -> Vec<Given> {
    let stage = Some(&global.stage).filter(|stage| *stage != DEFAULT_STAGE);
    let arch = global.arch.map(|arch| arch.to_string());
    let named = [
        ("--endpoint-url", global.endpoint_url.as_ref(), Whose::Elsewhere),
        ("--profile", global.profile.as_ref(), Whose::Elsewhere),
        ("--region", global.region.as_ref(), Whose::Stages),
        ("--stage", stage, Whose::Stages),
        ("--arch", arch.as_ref(), Whose::Builders),
    ];
    let named = named.into_iter().filter_map(|(flag, value, whose)| {
        Some(Given { flag, value: Some(value?.to_owned()), whose })
    });
    let local =
        global.local.then_some(Given { flag: "--local", value: None, whose: Whose::Stages });
    local.into_iter().chain(named).collect()
}

/// `cargo run --`, if that is what runs this process: cargo says so.
fn through_cargo() -> Option<String> {
    std::env::var_os("CARGO")?;
    if std::env::var_os("CARGO_PKG_NAME")? != env!("CARGO_PKG_NAME") {
        return None;
    }
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let here = std::env::current_dir().ok()?;
    let nearest = here.ancestors().find(|folder| folder.join("Cargo.toml").is_file());
    Some(if nearest == Some(&manifest) {
        "cargo run --".to_owned()
    } else {
        let manifest = manifest.join("Cargo.toml");
        format!("cargo run --manifest-path {} --", shell_word(&manifest.to_string_lossy()))
    })
}

/// `called` is the name that the process was given, `own` its executable.
fn program(called: &OsStr, own: Option<&Path>, path: &OsStr) -> String {
    let real = |path: &Path| path.canonicalize().ok();
    let own = own.and_then(real);
    // What a shell would run if it is told no folder.
    let found = |name: &OsStr| {
        let found = std::env::split_paths(path).map(|dir| dir.join(name)).find(|p| p.is_file())?;
        real(&found)
    };
    let called = Path::new(called);
    let typed = called.parent().is_some_and(|folder| folder != Path::new(""));
    if let (Some(own), Some(name)) = (&own, called.file_name())
        && found(name).as_ref() == Some(own)
    {
        return shell_word(&name.to_string_lossy());
    }
    match own.filter(|_| !typed) {
        Some(own) => shell_word(&own.to_string_lossy()),
        None => shell_word(&called.to_string_lossy()),
    }
}

/// One word of a POSIX shell that stands for `text`.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(options: &[&str]) -> Invocation {
        let args = ["advent", "status"].iter().chain(options);
        let global = Cli::try_parse_from(args).unwrap().global;
        Invocation { program: "./advent".to_owned(), options: self::options(&global) }
    }

    #[test]
    fn a_command_leads_to_the_same_stage() {
        let local = invocation(&["--local", "--stage", "blue", "--arch", "arm64"]);
        assert_eq!(
            local.complete("first `advent up`, then `advent say \"two words\"`"),
            "first `./advent up --local --stage blue --arch arm64`, \
             then `./advent say --local --stage blue \"two words\"`"
        );
        let aws = invocation(&["--endpoint-url", "http://x/?a=1&b", "--profile", "it's me"]);
        assert_eq!(
            aws.complete("`advent logs sns_logger --follow`"),
            r"`./advent logs --endpoint-url 'http://x/?a=1&b' --profile 'it'\''s me' sns_logger --follow`"
        );
        assert_eq!(
            invocation(&["--region", "eu-west-1"]).complete("`advent down`"),
            "`./advent down --region eu-west-1`"
        );
    }

    #[test]
    fn a_command_gets_no_option_that_it_has_or_cannot_take() {
        let aws = invocation(&["--profile", "me", "--region", "eu-west-1", "--stage", "blue"]);
        assert_eq!(
            aws.complete("start it: `advent up --local`, or `advent local start`"),
            "start it: `./advent up --region eu-west-1 --stage blue --local`, \
             or `./advent local start`"
        );
        assert_eq!(
            aws.complete("`advent up --stage x`"),
            "`./advent up --profile me --region eu-west-1 --stage x`"
        );
        let arm = invocation(&["--local", "--arch", "arm64"]);
        assert_eq!(arm.complete("`advent pack`"), "`./advent pack --arch arm64`");
        assert_eq!(arm.complete("`advent pack --arch x86_64`"), "`./advent pack --arch x86_64`");
    }

    #[test]
    fn what_is_evaluated_is_known_by_its_words() {
        let is = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            is_for_eval(&words)
        };
        for line in ["local env --bogus", "--bogus local env", "local evn", "--quiet local -x env"]
        {
            assert!(is(line), "{line}");
        }
        for line in ["", "up --bogus", "up local", "local start --bogus", "local stop x", "env"] {
            assert!(!is(line), "{line}");
        }
    }

    #[test]
    fn cargo_names_no_command() {
        for own in ["up", "deploy", "--json", "-q", "help", "local", "version"] {
            assert!(begins(OsStr::new(own)), "{own}");
        }
        for compiler in ["rustc", "/usr/bin/rustc", "/x/members/0123", "clippy-driver"] {
            assert!(!begins(OsStr::new(compiler)), "{compiler}");
        }
    }

    #[test]
    fn other_text_stays() {
        let local = invocation(&["--local"]);
        for text in
            ["", "advent up", "`advent up", "a `b` c", "`advents up`", "`advent x`", "`", "``"]
        {
            assert_eq!(local.complete(text), text);
        }
    }

    #[test]
    fn every_subcommand_is_thought_of() {
        for subcommand in Cli::command().get_subcommands() {
            let name = subcommand.get_name();
            let known = about_a_stage(name) || about_code(name) || APART.contains(&name);
            assert!(known, "which options belong to `advent {name}`?");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_program_is_called_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let on_path = folder.path().join("bin");
        std::fs::create_dir(&on_path).unwrap();
        let (own, other) = (folder.path().join("built"), folder.path().join("other"));
        std::fs::write(&own, "").unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&own, on_path.join("advent")).unwrap();
        let program = |called: &str, own: &Path| {
            super::program(OsStr::new(called), Some(own), on_path.as_os_str())
        };
        assert_eq!(program("advent", &own), "advent");
        assert_eq!(program("/usr/bin/advent", &own), "advent");
        // Another one is what the shell would find.
        assert_eq!(program("./advent", &other), "./advent");
        assert_eq!(program("dist/my advent", &other), "'dist/my advent'");
        let whole = other.canonicalize().unwrap();
        assert_eq!(program("advent", &other), whole.to_string_lossy());
    }
}
