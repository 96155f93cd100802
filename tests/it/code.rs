//! What ships: each function's own code, as cargo gives it, the same bytes everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use zip::ZipArchive;

use crate::support::cli::{Cli, Run};

/// Logs the name of every crate that is compiled, and goes on with what it was given: as sccache.
const WRAPPER: &str = r#"#!/bin/sh
name=
for word; do
  [ "$name" = next ] && name=$word
  [ "$word" = --crate-name ] && name=next
done
[ -z "$name" ] || [ "$name" = ___ ] || echo "$name" >> "$COMPILED"
exec "$@"
"#;

/// An application of functions that print something and end, without dependencies.
struct App {
    dir: TempDir,
    folder: PathBuf,
    cli: Cli,
}

impl App {
    /// `members` is what the workspace's manifest says of them.
    fn new(members: &str, advent: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let folder = dir.path().join("app");
        let app = Self { cli: Cli::new(&folder), folder, dir };
        let app = Self { cli: app.cli.clone().arg("--local"), ..app };
        app.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[profile.lambda]\n\
                 inherits = \"release\"\nopt-level = 1\n\n[profile.lambda-local]\n\
                 inherits = \"lambda\"\nstrip = true\npanic = \"abort\"\n"
            ),
        );
        app.write("advent.toml", &format!("name = \"app\"\n{advent}"));
        app
    }

    /// Counts what is compiled from now on.
    fn logged(mut self) -> Self {
        let (wrapper, log) = (self.dir.path().join("wrapper"), self.dir.path().join("compiled"));
        fs::write(&wrapper, WRAPPER).expect("a wrapper");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("permissions");
        self.cli = self.cli.env("RUSTC_WRAPPER", wrapper).env("COMPILED", log);
        self
    }

    /// Crates that were compiled since the last look.
    fn compiled(&self) -> Vec<String> {
        let log = self.dir.path().join("compiled");
        let text = fs::read_to_string(&log).unwrap_or_default();
        drop(fs::remove_file(log));
        let mut names: Vec<_> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the project");
        fs::write(path, text).expect("a file of the project");
    }

    /// A package with this source, and `more` in its manifest.
    fn package(&self, path: &str, source: &str, text: &str, more: &str) {
        let name = path.rsplit('/').next().expect("a name");
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{more}");
        self.write(&format!("{path}/Cargo.toml"), &manifest);
        self.write(&format!("{path}/{source}"), text);
    }

    /// What each function's executable prints, and its zip.
    #[track_caller]
    fn build(&self) -> Zips {
        built(&self.cli)
    }
}

/// What this command line builds.
#[track_caller]
fn built(cli: &Cli) -> Zips {
    // Cargo takes what was written in the moment of a build for older.
    std::thread::sleep(Duration::from_millis(30));
    let out = TempDir::new().expect("a folder for the zips");
    let run = cli.ok(["build", "--out", out.path().to_str().expect("UTF-8")]);
    let mut zips = BTreeMap::new();
    for entry in fs::read_dir(out.path()).expect("zips") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        zips.insert(name, fs::read(path).expect("a zip"));
    }
    Zips { zips, run }
}

struct Zips {
    zips: BTreeMap<String, Vec<u8>>,
    run: Run,
}

impl Zips {
    fn executable(&self, function: &str) -> Vec<u8> {
        let mut archive = ZipArchive::new(Cursor::new(&self.zips[function])).expect("a zip");
        let mut bytes = Vec::new();
        let mut entry = archive.by_name("bootstrap").expect("a bootstrap");
        std::io::copy(&mut entry, &mut bytes).expect("a bootstrap");
        bytes
    }

    fn prints(&self, function: &str) -> String {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("bootstrap");
        fs::write(&path, self.executable(function)).expect("an executable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        // Another test may have forked while it was open for writing.
        let copy = dir.path().join("copy");
        let copied = Command::new("cp").arg(&path).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp");
        let output = Command::new(copy).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn says(text: &str) -> String {
    format!("fn main() {{ println!(\"{text}\") }}\n")
}

fn back_date(path: &Path) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(long_ago).expect("a time");
}

#[test]
fn each_zip_holds_its_own_code_whatever_it_is_called() {
    let app = App::new(
        "\"one\", \"two\", \"three\"",
        "[function.one]\nbin = \"bootstrap\"\n[function.two]\n[function.three]\n\
         [function.four]\npackage = \"one\"\nbin = \"three\"\n",
    );
    let bootstrap = "[[bin]]\nname = \"bootstrap\"\npath = \"src/main.rs\"\n";
    app.package("one", "src/main.rs", &says("one"), bootstrap);
    app.write("one/src/bin/three.rs", &says("four"));
    app.package("two", "src/main.rs", &says("two"), bootstrap);
    app.write("two/examples/bootstrap.rs", &says("example"));
    app.package("three", "src/main.rs", &says("three"), "");
    for _ in 0..2 {
        let zips = app.build();
        for function in ["one", "two", "three", "four"] {
            assert_eq!(zips.prints(function), function);
        }
    }
    // Only one changes, the other's executable is still in the same place.
    app.write("two/src/main.rs", &says("changed"));
    let zips = app.build();
    assert_eq!((zips.prints("one"), zips.prints("two")), ("one".into(), "changed".into()));
}

#[test]
fn what_cargo_would_rebuild_is_rebuilt_and_nothing_else() {
    let app = App::new("\"apps/one\", \"apps/two\"", "[function.one]\n[function.two]\n").logged();
    app.package("apps/one", "src/main.rs", "", "");
    app.write("apps/one/build.rs", "fn main() {\n    println!(\"cargo::rerun-if-changed=../../migrations\");\n    let count = std::fs::read_dir(\"../../migrations\").unwrap().count();\n    println!(\"cargo::rustc-env=COUNT={count}\");\n}\n");
    app.write("migrations/1.sql", "");
    app.write(
        "apps/one/src/main.rs",
        "fn main() { println!(\"{} {} {}\", env!(\"COUNT\"), include_str!(\"../../../text\"), option_env!(\"WORD\").unwrap_or(\"none\")) }\n",
    );
    app.write("text", "first");
    app.package("apps/two", "src/main.rs", &says("two"), "");
    assert_eq!(app.build().prints("one"), "1 first none");
    assert_eq!(app.compiled(), ["build_script_build", "one", "two"]);
    app.build();
    assert_eq!(app.compiled(), [""; 0], "nothing changed");

    app.write("migrations/2.sql", "");
    assert_eq!(app.build().prints("one"), "2 first none");
    app.write("text", "second");
    assert_eq!(app.build().prints("one"), "2 second none");
    app.compiled();

    // Cargo goes by times and would take this for the old file.
    app.write("text", "backdated");
    back_date(&app.folder.join("text"));
    assert_eq!(app.build().prints("one"), "2 backdated none");
    app.write("apps/two/src/main.rs", &says("old"));
    back_date(&app.folder.join("apps/two/src/main.rs"));
    app.compiled();
    assert_eq!(app.build().prints("two"), "old");
    assert_eq!(app.compiled(), ["two"]);

    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cross = app.cli.clone().env("CARGO_BUILD_TARGET", target);
    assert_eq!(built(&cross).prints("one"), "2 backdated none");
    for word in ["blue", "green"] {
        let cross = cross.clone().env("WORD", word);
        assert_eq!(built(&cross).prints("one"), format!("2 backdated {word}"));
    }
}

/// A function with a generated file and a dependency outside of the workspace, whose panics, type
/// ids and inlined code know where they come from.
fn traced() -> App {
    let app = App::new("\"one\"", "[function.one]\n");
    let dependency = "[dependencies]\noutside = { path = \"../../outside\" }\n";
    app.package("one", "src/main.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\nstruct Local;\nfn main() {\n    let count = std::env::args().count();\n    println!(\"{:?}{}{:?}\", std::any::TypeId::of::<Local>(), cfg!(mine), outside::id());\n    outside::check(count);\n    made(count);\n}\n", dependency);
    app.write("one/build.rs", "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(out + \"/made.rs\", \"pub fn made(n: usize) { if n > 7 { panic!(\\\"{n}\\\") } }\").unwrap();\n    println!(\"cargo::rustc-check-cfg=cfg(mine)\");\n}\n");
    app.package("../outside", "src/lib.rs", "pub struct Outside;\npub fn id() -> std::any::TypeId { std::any::TypeId::of::<Outside>() }\n#[inline]\npub fn check<T: Into<usize>>(n: T) { let n = n.into(); if n > 9 { panic!(\"{n}\") } }\n", "[workspace]\n");
    app
}

#[test]
fn the_same_source_gives_the_same_bytes_everywhere() {
    let app = traced();
    let first = app.build();
    let other = traced();
    let config = |text: &str| other.write(".cargo/config.toml", text);
    let clean = |cli: &Cli, what: &str| {
        let zips = built(cli);
        assert!(zips.zips == first.zips, "{what}: {}", zips.run.stderr);
        assert!(!zips.run.stderr.contains("contains the path"), "{}", zips.run.stderr);
    };
    clean(&other.cli, "another folder");
    clean(&other.cli.clone().env("RUSTFLAGS", ""), "empty RUSTFLAGS");
    clean(&other.cli.clone().env("RUSTFLAGS", "-Dwarnings"), "RUSTFLAGS");
    clean(&other.cli.clone().env("CARGO_ENCODED_RUSTFLAGS", "-Adead_code"), "encoded");
    config("[target.'cfg(unix)']\nrustflags = [\"-Adead_code\"]\n");
    clean(&other.cli, "[target]");
    // And flags that change code do.
    config("[target.'cfg(unix)']\nrustflags = [\"--cfg\", \"mine\"]\n");
    assert!(other.build().prints("one").contains("true"));
    config("[build]\nrustflags = [\"--cfg=mine\"]\n");
    assert!(other.build().prints("one").contains("true"));
}

#[test]
fn what_the_source_asks_for_cannot_be_hidden_and_is_said() {
    let app = App::new("\"one\"", "[function.one]\n");
    app.package("one", "src/main.rs", "fn main() { println!(env!(\"CARGO_MANIFEST_DIR\")) }", "");
    let folder = app.folder.canonicalize().expect("a folder").join("one");
    for _ in 0..2 {
        let zips = app.build();
        zips.run.says(&format!("contains the path {}", folder.display()));
    }
}

#[test]
fn features_stay_with_the_function_that_wants_them() {
    let functions = "[function.a]\n[function.b]\n[function.c]\npackage = \"b\"\n\
                     features = [\"own\"]\ndefault-features = false\n";
    let app = App::new("\"a\", \"b\", \"lib\"", "[function.a]\n").logged();
    app.package(
        "a",
        "src/main.rs",
        "fn main() { println!(\"{}\", lib::LOUD) }\n",
        "[dependencies]\nlib = { path = \"../lib\" }\n",
    );
    app.package("b", "src/main.rs", "fn main() { println!(\"{} {}\", lib::LOUD, cfg!(feature = \"own\")) }\n", "[features]\ndefault = [\"lib/loud\"]\nown = []\n[dependencies]\nlib = { path = \"../lib\" }\n");
    app.package(
        "lib",
        "src/lib.rs",
        "pub const LOUD: bool = cfg!(feature = \"loud\");\n",
        "[features]\nloud = []\n",
    );
    let alone = app.build();
    assert_eq!(alone.prints("a"), "false");
    app.write("advent.toml", &format!("name = \"app\"\n{functions}"));
    let zips = app.build();
    assert!(zips.zips["a"] == alone.zips["a"], "it has changed because of another function");
    assert_eq!((zips.prints("b"), zips.prints("c")), ("true false".into(), "false true".into()));
    app.compiled();
    app.build();
    assert_eq!(app.compiled(), [""; 0], "all of them are kept side by side");
}

#[test]
fn a_package_of_many_binaries_is_many_functions() {
    let app = App::new(
        "\"funcs\"",
        "[function.alpha]\n[function.beta]\npackage = \"funcs\"\n[function.x]\n\
         package = \"funcs\"\nbin = \"alpha\"\n",
    )
    .logged();
    let metadata = "[package.metadata.lambda.deploy]\nmemory = 512\n\
                    [package.metadata.lambda.bin.beta.deploy]\ntimeout = 60\n";
    app.package("funcs", "src/bin/alpha.rs", &says("alpha"), metadata);
    app.write("funcs/src/bin/beta.rs", &says("beta"));
    let zips = app.build();
    for (function, prints) in [("alpha", "alpha"), ("beta", "beta"), ("x", "alpha")] {
        assert_eq!(zips.prints(function), prints);
    }
    assert_eq!(app.compiled(), ["alpha", "beta"], "what is the same is built once");
    zips.run.says("memory = 512\n  timeout = 60").says("[function.beta]");
}

#[test]
fn projects_that_share_a_target_folder_keep_what_is_theirs() {
    let (one, two) = (App::new("\"f\"", "[function.f]\n"), App::new("\"f\"", "[function.f]\n"));
    let shared = TempDir::new().expect("a folder");
    let lib = shared.path().join("lib");
    fs::create_dir_all(lib.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"lib\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(lib.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(lib.join("src/lib.rs"), "pub fn f() {}\n").expect("a source");
    let prepare = |mut app: App, text: &str| {
        let dependency = format!("[dependencies]\nlib = {{ path = \"{}\" }}\n", lib.display());
        app.package("f", "src/main.rs", &says(text), &dependency);
        app.cli = app.cli.env("CARGO_TARGET_DIR", shared.path().join("target"));
        app.logged()
    };
    let apps = [prepare(one, "one"), prepare(two, "two")];
    for round in 0..2 {
        for (app, text) in apps.iter().zip(["one", "two"]) {
            assert_eq!(app.build().prints("f"), text, "they are called alike");
            let compiled = app.compiled();
            assert_eq!(compiled.is_empty(), round == 1, "{text}, {round}: {compiled:?}");
        }
    }
}

#[test]
fn looking_never_compiles() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.package("f", "src/main.rs", &says("f"), "");
    let state = app.dir.path().join("state");
    let cli = Cli::new(&app.folder).local(&state);
    // There is no cargo.
    let looking = cli.clone().env("PATH", "/nonexistent");
    let unbuilt = "not built from these sources yet: f";
    looking.ok(["status"]).says(unbuilt);
    looking.run(["plan"]).code(2).says(unbuilt);
    cli.run(["plan", "--build"]).code(2);
    assert!(!looking.run(["plan"]).code(2).stderr.contains(unbuilt), "it is built");
    cli.ok(["up"]);
    assert_eq!(looking.ok(["status", "--json"]).json()["in_step"], true);
    looking.ok(["plan"]);

    app.write("f/src/main.rs", &says("changed"));
    looking.run(["plan"]).code(2).says(unbuilt).says("code:");
    looking.ok(["status"]).says("unsure");
    let status = looking.ok(["status", "--json"]).json();
    assert_eq!(status["not_built"][0], "f", "{status}");
    assert_eq!(status["in_step"], false, "{status}");
    let logs = looking.run(["logs"]);
    assert_eq!(logs.code, Some(0), "{}", logs.stderr);
    cli.run(["plan", "--build"]).code(2);
    assert!(!looking.run(["plan"]).code(2).stderr.contains(unbuilt), "it is built");
    looking.ok(["down", "--yes"]);
}
