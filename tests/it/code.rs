//! What ships: each function's own code, as cargo gives it, the same bytes everywhere.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::app::{App, built, says};
use crate::support::cli::Cli;

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
    assert_eq!(looking.ok(["status", "--json"]).json()["in_sync"], true);
    looking.ok(["plan"]);

    app.write("f/src/main.rs", &says("changed"));
    looking.run(["plan"]).code(2).says(unbuilt).says("code:");
    looking.ok(["status"]).says("unsure");
    let status = looking.ok(["status", "--json"]).json();
    assert_eq!(status["not_built"][0], "f", "{status}");
    assert_eq!(status["in_sync"], false, "{status}");
    let logs = looking.run(["logs"]);
    assert_eq!(logs.code, Some(0), "{}", logs.stderr);
    cli.run(["plan", "--build"]).code(2);
    assert!(!looking.run(["plan"]).code(2).stderr.contains(unbuilt), "it is built");
    looking.ok(["down", "--yes"]);
}
