//! What needs no build; builds themselves are tried through the binary, in `tests/it/code.rs`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::*;

const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["one", "two", "many"]

[profile.lambda]
inherits = "release"
opt-level = 0
panic = "abort"
strip = true
"#;

/// A workspace in which `one` and `two` have a binary of their own name, `many` has two.
fn workspace_of(folder: &Path, root: &str) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", root);
    for name in ["one", "two", "many"] {
        let package = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
        write(&format!("{name}/Cargo.toml"), &package);
    }
    for source in ["one/src/main.rs", "two/src/main.rs", "many/src/bin/a.rs", "many/src/bin/two.rs"]
    {
        write(source, "fn main() {}\n");
    }
}

async fn workspace(folder: &Path) -> workspace::Workspace {
    workspace::Workspace::around(&cargo::Cargo::new(folder)).await.unwrap()
}

/// Runs a copy of an executable that this process has written. A test beside this one may have
/// forked meanwhile; its child keeps the file open for writing until it executes, and until then
/// the kernel does not start it (ETXTBSY). What `cp` has written nobody else holds.
pub(super) fn run(executable: &Path) -> Output {
    let copy = executable.with_extension("copy");
    assert!(Command::new("cp").args([executable, &copy]).status().unwrap().success());
    Command::new(copy).output().unwrap()
}

/// The executable inside an archive that [`zip::pack`] made.
pub(super) fn unpack(archive: &[u8]) -> Vec<u8> {
    let mut archive = ::zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut executable = Vec::new();
    std::io::copy(&mut archive.by_name("bootstrap").unwrap(), &mut executable).unwrap();
    executable
}

#[tokio::test]
async fn each_destination_has_its_profile() {
    let folder = tempfile::tempdir().unwrap();
    workspace_of(folder.path(), WORKSPACE);
    let write = |text: &str| fs::write(folder.path().join("Cargo.toml"), text).unwrap();
    let profile = async |destination| {
        let settings = settings::Settings::of(folder.path());
        workspace(folder.path()).await.profile(destination, &settings).join(" ")
    };
    let quick = "--config profile.lambda-local.inherits='lambda' \
                 --config profile.lambda-local.lto='off' \
                 --config profile.lambda-local.codegen-units=16 \
                 --config profile.lambda-local.incremental=true";
    assert_eq!(profile(Destination::Aws).await, "--profile lambda");
    assert_eq!(profile(Destination::Local).await, format!("--profile lambda-local {quick}"));

    // It says itself how it wants both.
    let own = format!("{WORKSPACE}[profile.lambda-local]\ninherits = \"dev\"\n");
    write(&own);
    assert_eq!(profile(Destination::Aws).await, "--profile lambda");
    assert_eq!(profile(Destination::Local).await, "--profile lambda-local");

    let (none, _) = WORKSPACE.split_once("[profile").unwrap();
    write(none);
    let small = "--config profile.lambda.inherits='release' --config profile.lambda.opt-level='s' \
                 --config profile.lambda.lto='fat' --config profile.lambda.codegen-units=1 \
                 --config profile.lambda.panic='abort' --config profile.lambda.strip=true";
    assert_eq!(profile(Destination::Aws).await, format!("--profile lambda {small}"));
    let both = format!("--profile lambda-local {small} {quick}");
    assert_eq!(profile(Destination::Local).await, both);

    // What cargo is configured to do is not overruled.
    let config = folder.path().join(".cargo/config.toml");
    fs::create_dir(config.parent().unwrap()).unwrap();
    fs::write(&config, "[profile.lambda]\nlto = \"off\"\nopt-level = 1\n").unwrap();
    let some = small.replace(" --config profile.lambda.opt-level='s'", "");
    let some = some.replace(" --config profile.lambda.lto='fat'", "");
    assert_eq!(profile(Destination::Aws).await, format!("--profile lambda {some}"));
    fs::write(&config, "include = [\"more.toml\"]\n").unwrap();
    let more = "[profile.lambda-local]\ninherits = \"dev\"\n";
    fs::write(config.with_file_name("more.toml"), more).unwrap();
    let local = format!("--profile lambda-local {small}");
    assert_eq!(profile(Destination::Local).await, local, "all of it is said there");
}

#[tokio::test]
async fn a_function_is_one_binary_of_one_package() {
    let folder = tempfile::tempdir().unwrap();
    workspace_of(folder.path(), WORKSPACE);
    let workspace = workspace(folder.path()).await;
    let of = |section: &str| {
        let manifest = format!("name = \"x\"\n{section}\n");
        let wanted = workspace.wanted(&Manifest::parse(&manifest, "advent.toml").unwrap());
        wanted.map(|wanted| {
            wanted.into_values().map(|w| w.package + "/" + &w.binary).collect::<String>()
        })
    };
    for (section, is) in [
        ("[function.one]", "one/one"),
        ("[function.x]\npackage = \"one\"", "one/one"),
        ("[function.a]", "many/a"),
        ("[function.two]", "two/two"),
        ("[function.two]\npackage = \"many\"", "many/two"),
        ("[function.x]\npackage = \"many\"\nbin = \"two\"", "many/two"),
        ("[function.x]\nbin = \"a\"", "many/a"),
    ] {
        assert_eq!(of(section).unwrap(), is, "{section}");
    }
    for (section, what, hint) in [
        ("[function.x]\npackage = \"many\"", "has the binaries `a`, `two`", "bin = "),
        ("[function.x]\npackage = \"many\"\nbin = \"b\"", "no binary `b`", "`a`, `two`"),
        ("[function.x]\nbin = \"two\"", "several packages have: `many`, `two`", "package = "),
        ("[function.x]", "no package has a binary `x`", "has `many`, `one`, `two`;"),
        ("[function.x]\npackage = \"nowhere\"", "`nowhere`, which does not exist", "`one`"),
    ] {
        let failure: Failure = of(section).unwrap_err().downcast().unwrap();
        assert!(failure.what.contains(what), "{section}: {failure}");
        assert!(failure.hint.as_ref().unwrap().contains(hint), "{section}: {failure:?}");
    }
}

#[test]
fn shipping_refuses_what_local_only_warns_of() {
    let glibc = elf::Findings {
        obstacle: Some(elf::Obstacle::Loader("/lib/ld-musl-x86_64.so.1".into())),
        libraries: vec!["libssl.so.3".into()],
    };
    let warnings = build::judge("f", &glibc, Arch::X86_64, Destination::Local).unwrap();
    assert!(warnings[0].contains("ld-musl") && warnings[1].contains("libssl"), "{warnings:?}");
    let error = build::judge("f", &glibc, Arch::X86_64, Destination::Aws).unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert!(failure.what.contains("`f` would not start on Lambda"), "{failure}");
    assert!(failure.hint.is_some());
}

#[test]
fn architectures_are_named_as_lambda_names_them() {
    for arch in [Arch::X86_64, Arch::Arm64] {
        assert_eq!(arch.to_string().parse(), Ok(arch));
    }
    assert!("aarch64".parse::<Arch>().is_err());
}

#[test]
fn without_an_application_it_says_what_to_do() {
    let error = Application::find(Path::new("/")).unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert_eq!(failure.exit, 2);
    assert!(failure.what.contains("advent.toml"), "{failure}");
    assert!(failure.hint.as_ref().unwrap().contains("advent.toml"));
}

#[test]
fn a_manifest_above_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    fs::write(folder.path().join("advent.toml"), "name = \"above\"\n").unwrap();
    let app = Application::find(&below).unwrap();
    assert_eq!(app.manifest.name, "above");
    assert_eq!(app.toml, "name = \"above\"\n");
    assert_eq!(app.source, Source::Folder(folder.path().to_owned()));
}
