//! Builds that go wrong, are configured, disturbed or ended, and what they leave.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::app::{App, built, says};
use crate::support::cli::Cli;

/// A package outside of a workspace is the same to every workspace that has it, wherever they lie.
#[test]
fn projects_that_share_a_dependency_get_what_they_get_alone() {
    let shared = TempDir::new().expect("a folder");
    let lib = shared.path().join("lib");
    fs::create_dir_all(lib.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"lib\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(lib.join("Cargo.toml"), manifest).expect("a manifest");
    let source = "pub struct Here;\npub fn id() -> std::any::TypeId { std::any::TypeId::of::<Here>() }\n#[inline(never)]\npub fn check(n: usize) { if n > 9 { panic!(\"{n}\") } }\n";
    fs::write(lib.join("src/lib.rs"), source).expect("a source");
    let app = |deep: &str| {
        let mut app = App::new("\"f\"", "[function.f]\n");
        let folder = app.dir.path().join(deep);
        fs::create_dir_all(&folder).expect("a folder");
        let folder = folder.join("app");
        fs::rename(&app.folder, &folder).expect("a folder that moves");
        app.cli = Cli::new(&folder).arg("--local");
        app.folder = folder;
        let dependency = format!("[dependencies]\nlib = {{ path = \"{}\" }}\n", lib.display());
        let source =
            "fn main() { lib::check(std::env::args().count()); println!(\"{:?}\", lib::id()) }\n";
        app.package("f", "src/main.rs", source, &dependency);
        app
    };
    let apps = [app("."), app("deep/er")];
    let alone = apps.each_ref().map(|app| app.build().zips);
    let together = apps.map(|mut app| {
        app.cli = app.cli.env("CARGO_TARGET_DIR", shared.path().join("target"));
        app.logged()
    });
    for round in 0..2 {
        for (app, alone) in together.iter().zip(&alone) {
            assert!(app.build().zips == *alone, "round {round}: other bytes than alone");
            let compiled = app.compiled();
            assert!(round == 0 || compiled.is_empty(), "{compiled:?}");
        }
    }
}

#[test]
fn the_first_that_does_not_compile_is_said_once() {
    let app = App::new(
        "\"a\", \"b\", \"c\", \"d\"",
        "[function.a]\n[function.b]\n[function.c]\n[function.d]\n",
    );
    for name in ["a", "b", "c", "d"] {
        app.package(name, "src/main.rs", &says(name), "");
    }
    app.build();
    // `b` takes longer to fail than `c` and `d`.
    app.write(
        "b/build.rs",
        "fn main() { std::thread::sleep(std::time::Duration::from_secs(1)) }\n",
    );
    for name in ["b", "c", "d"] {
        app.write(&format!("{name}/src/main.rs"), &format!("fn main() {{ wrong_in_{name}() }}\n"));
    }
    let run = app.cli.run(["build"]).code(1).says("`b` in ");
    assert_eq!(run.stderr.matches("cannot find function").count(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("Blocking"), "{}", run.stderr);
    for name in ["b", "c", "d"] {
        app.write(&format!("{name}/src/main.rs"), &says("right"));
    }
    assert_eq!(app.build().prints("d"), "right");
}

#[test]
fn what_cargo_is_configured_to_do_is_done() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"f\"]\n");
    app.package("f", "src/main.rs", "fn main() { println!(env!(\"LEVEL\")) }\n", "");
    app.write("f/build.rs", "fn main() { println!(\"cargo::rustc-env=LEVEL={}\", std::env::var(\"OPT_LEVEL\").unwrap()) }\n");
    assert_eq!(app.build().prints("f"), "s");
    let level = |variable: &str, level: &str| built(&app.cli.clone().env(variable, level));
    assert_eq!(level("CARGO_PROFILE_LAMBDA_OPT_LEVEL", "1").prints("f"), "1");
    assert_eq!(level("CARGO_PROFILE_LAMBDA_LOCAL_OPT_LEVEL", "2").prints("f"), "2");
    app.write(".cargo/config.toml", "include = [\"more.toml\"]\n");
    app.write(".cargo/more.toml", "[profile.lambda]\nopt-level = 3\n");
    assert_eq!(app.build().prints("f"), "3");
}

/// What a build script writes beside the sources is no change of theirs.
#[test]
fn a_build_script_may_write_among_the_sources() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.package("f", "src/main.rs", "mod made;\nfn main() { println!(\"{}\", made::WORD) }\n", "");
    app.write("f/word", "one");
    app.write("f/build.rs", "fn main() {\n    println!(\"cargo::rerun-if-changed=word\");\n    let word = std::fs::read_to_string(\"word\").unwrap();\n    std::fs::write(\"src/made.rs\", format!(\"pub const WORD: &str = {word:?};\")).unwrap();\n}\n");
    let looking = Cli::new(&app.folder).local(&app.dir.path().join("state"));
    let unbuilt = "not built from these sources yet";
    for word in ["one", "two"] {
        app.write("f/word", word);
        assert_eq!(app.build().prints("f"), word);
        let run = looking.run(["plan"]).code(2);
        assert!(!run.stderr.contains(unbuilt), "{word}: {}", run.stderr);
    }
    app.write("f/src/made.rs", "pub const WORD: &str = \"mine\";");
    looking.run(["plan"]).code(2).says(unbuilt);
    assert_eq!(app.build().prints("f"), "mine", "a person's change");
}

/// A cargo within a build script meets no trace of ours that it could stumble over.
#[test]
fn a_build_script_may_run_cargo() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.package("f", "src/main.rs", &says("outer"), "");
    app.package("../inner", "src/lib.rs", "pub fn f() {}\n", "[workspace]\n");
    for remove in ["", ".env_remove(\"RUSTC_WRAPPER\")"] {
        app.write("f/build.rs", &format!("fn main() {{\n    let cargo = std::env::var(\"CARGO\").unwrap();\n    let status = std::process::Command::new(cargo).args([\"build\", \"--manifest-path\", \"../../inner/Cargo.toml\", \"--target-dir\"]).arg(std::env::var(\"OUT_DIR\").unwrap() + \"/inner\"){remove}.status().unwrap();\n    assert!(status.success());\n}}\n"));
        assert_eq!(app.build().prints("f"), "outer", "{remove}");
    }
}

#[test]
fn a_command_is_no_call_of_the_compiler() {
    let app = App::new("\"f\"", "[function.f]\n");
    let cli = Cli::new(&app.folder);
    for value in ["garbage", "{}", "1"] {
        let cli = cli.clone().env("ADVENT_COMPILES", value);
        assert!(cli.ok(["version", "--json"]).json()["advent"].is_string());
        assert_eq!(cli.run(["--json", "frob"]).code(2).json()["error"]["exit"], 2);
        assert_eq!(cli.run(["--json", "policy", "--account", "1"]).json()["error"]["exit"], 2);
    }
    let called = cli.env("ADVENT_COMPILES", "garbage").run(["/usr/bin/rustc", "-vV"]);
    called.code(101).says("the environment variable ADVENT_COMPILES");
}

/// A zip is there as a whole, the old or the new one.
#[test]
fn a_zip_that_cannot_be_written_leaves_the_old_one() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.package("f", "src/main.rs", &says("f"), "");
    app.build();
    app.write("dist/f.zip", "old");
    let line = "trap '' XFSZ; ulimit -f 64; exec \"$0\" build --local";
    let advent = env!("CARGO_BIN_EXE_advent");
    let shell = app.cli.clone().program(Path::new("/bin/sh"));
    let output = shell.command(["-c", line, advent]).output().expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("failed to write"), "{stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let left: Vec<_> = fs::read_dir(app.folder.join("dist")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read(app.folder.join("dist/f.zip")).expect("a zip"), b"old");
    app.cli.ok(["build"]);
    assert!(fs::read(app.folder.join("dist/f.zip")).expect("a zip").len() > 1000);
}

/// Neither cargo nor what it has started outlives the command.
#[test]
fn a_signal_ends_what_a_build_has_started() {
    let app = App::new("\"f\"", "[function.f]\n");
    app.package("f", "src/main.rs", &says("f"), "");
    app.write("f/build.rs", "fn main() {\n    std::fs::write(\"pid\", std::process::id().to_string()).unwrap();\n    std::thread::sleep(std::time::Duration::from_secs(60));\n}\n");
    let pid = app.folder.join("f/pid");
    // Under `nohup` a test's child ignores it as well, and is meant to.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignores_hangup =
        ignored.is_some_and(|mask| mask.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']));
    let signals = ["INT", "TERM", "HUP", "QUIT"].into_iter();
    for signal in signals.filter(|signal| *signal != "HUP" || !ignores_hangup) {
        drop(fs::remove_file(&pid));
        let running = app.cli.spawn(["build"]);
        let deadline = Instant::now() + Duration::from_mins(1);
        let script = loop {
            match fs::read_to_string(&pid) {
                Ok(pid) if !pid.is_empty() => break pid,
                _ => assert!(Instant::now() < deadline, "no build script runs"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        running.signal(signal);
        let run = running.wait().code(130);
        assert!(!run.stderr.contains("cargo failed"), "{signal}: {}", run.stderr);
        std::thread::sleep(Duration::from_millis(300));
        // What nobody has waited for yet is gone as well.
        let stat = fs::read_to_string(format!("/proc/{script}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{signal}: {stat}");
    }
}

#[test]
fn a_zip_that_is_damaged_or_gone_is_made_again() {
    let app = App::new("\"f\"", "[function.f]\n").logged();
    app.package("f", "src/main.rs", &says("f"), "");
    let first = app.build();
    let kept = || {
        let folders = fs::read_dir(app.folder.join("target/advent")).expect("a folder").flatten();
        let places = folders.flat_map(|folder| fs::read_dir(folder.path().join("x86_64-local")));
        let arm = fs::read_dir(app.folder.join("target/advent")).expect("a folder").flatten();
        let arm = arm.flat_map(|folder| fs::read_dir(folder.path().join("arm64-local")));
        let files = places.chain(arm).flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|it| it == "zip")).collect::<Vec<_>>()
    };
    app.compiled();
    fs::write(&kept()[0], "damaged").expect("a zip");
    assert!(app.build().zips == first.zips, "damaged");
    fs::remove_file(&kept()[0]).expect("a zip");
    assert!(app.build().zips == first.zips, "gone");
    assert_eq!(kept().len(), 1);
    assert_eq!(app.compiled(), [""; 0], "the executable is there");
}
