//! The small project behind a fault proxy, on an emulator or on a local cloud of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use super::cli::{Cli, Run, Switch};
use super::local_project::Local;
use super::project::Project;
use super::proxy::{Fault, Proxy, Rule};
use super::python::{Boto, Python, Server};
use super::world::World;

/// What is behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Written by others, but lets much pass that AWS refuses.
    Moto,
    /// Refuses what AWS refuses.
    Local,
}

enum Kept {
    Moto { _server: Server },
    Local { _local: Box<Local> },
}

/// Everything a test needs to let a command fail and to look at what it leaves.
pub struct Rig {
    /// Says everything in JSON.
    pub cli: Cli,
    /// Says everything for people.
    pub people: Cli,
    pub proxy: Proxy,
    pub boto: Boto<'static>,
    _folder: TempDir,
    _backend: Kept,
}

impl Rig {
    pub fn new(python: &'static Python, backend: Backend) -> Self {
        Self::of(python, backend, packed())
    }

    /// With an executable that carries an application of its own.
    pub fn of(python: &'static Python, backend: Backend, program: &Path) -> Self {
        let (url, backend) = match backend {
            Backend::Moto => {
                let server = python.moto();
                (server.url.clone(), Kept::Moto { _server: server })
            }
            Backend::Local => {
                let local = Box::new(Local::start());
                (local.url.clone(), Kept::Local { _local: local })
            }
        };
        let proxy = Proxy::start(&url);
        let folder = TempDir::new().expect("a folder");
        let people = Cli::new(folder.path()).program(program).endpoint(&proxy.url).arg("--yes");
        let cli = people.clone().arg("--json");
        let boto = Boto::new(python, &url);
        if matches!(backend, Kept::Moto { .. }) {
            // It loads each service when it is first called, and all of them for the tagging API,
            // which may take longer than a command is given for a request.
            drop(boto.try_call("resourcegroupstaggingapi", "get_resources", serde_json::json!({})));
            drop(World::read(&boto));
        }
        Self { cli, people, proxy, boto, _folder: folder, _backend: backend }
    }

    pub fn moto(python: &'static Python) -> Self {
        Self::new(python, Backend::Moto)
    }

    pub fn world(&self) -> World {
        World::read(&self.boto)
    }

    /// The world that an undisturbed `up` makes of nothing. Leaves nothing behind.
    pub fn clean(&self) -> World {
        self.cli.ok(["up"]);
        let clean = self.world();
        self.cli.ok(["down"]);
        clean
    }

    /// `up` ends in this world, and one more writes nothing.
    #[track_caller]
    pub fn assert_up(&self, clean: &World, when: &str) {
        self.cli.ok(["up"]);
        clean.assert_same(&self.world(), &format!("{when}, after up"));
        self.proxy.take();
        self.cli.ok(["up"]);
        assert_eq!(self.proxy.take().mutating(), [""; 0], "{when}, up again");
    }

    /// `down` ends in nothing.
    #[track_caller]
    pub fn assert_down(&self, when: &str) {
        self.cli.ok(["down"]);
        self.world().assert_empty(&format!("{when}, after down"));
    }

    /// Runs a command and kills it at the request that matches, before or after it is carried out,
    /// and ends all faults; `None` if it ended before that.
    pub fn kill(&self, command: &str, rule: impl Fn(Fault) -> Rule, applied: bool) -> Option<Run> {
        let (run, struck) = self.run_until(command, rule, applied);
        self.proxy.heal();
        if !struck {
            run.code(0);
            return None;
        }
        assert_eq!(run.code, None, "killed: {}", run.stderr);
        Some(run)
    }

    /// Kills it once the request that matches is carried out; what is imitated goes on.
    pub fn kill_in_place(&self, command: &str, rule: impl Fn(Fault) -> Rule) -> Run {
        self.run_until(command, rule, true).0
    }

    fn run_until(&self, command: &str, rule: impl Fn(Fault) -> Rule, applied: bool) -> (Run, bool) {
        let switch = Switch::default();
        let kill = {
            let switch = switch.clone();
            Arc::new(move || switch.kill())
        };
        let fault = if applied { Fault::CutAfter(kill) } else { Fault::CutBefore(kill) };
        let rule = self.proxy.inject(rule(fault));
        let run = self.cli.spawn_with(&switch, [command]).wait();
        self.proxy.settle();
        (run, rule.struck() > 0)
    }
}

/// An executable that carries the small project, made once: nothing is built by its commands.
pub fn packed() -> &'static PathBuf {
    static PACKED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PACKED.get_or_init(|| {
        let folder = TempDir::new().expect("a folder for the executable");
        let program = pack(&Project::new(), folder.path());
        (folder, program)
    });
    program
}

/// Packs a project into an executable in `folder`.
pub fn pack(project: &Project, folder: &Path) -> PathBuf {
    let program = folder.join("small");
    let out = program.to_str().expect("a path in UTF-8");
    Cli::new(project.path()).ok(["pack", "--out", out]);
    program
}
