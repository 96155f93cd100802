//! Builds of small workspaces, with the real cargo.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::*;
use crate::manifest::{Function, Guard};

const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["apps/one", "apps/two", "shared"]

[profile.lambda]
inherits = "release"
opt-level = 0
panic = "abort"
strip = true
"#;

fn package(name: &str, more: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}")
}

/// Two functions below `apps`; `one` uses the library `shared`.
struct Fixture {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

/// What one build reported.
#[derive(Debug)]
struct Report {
    artifacts: Vec<Artifact>,
    cached: bool,
    compiled: usize,
    output: String,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let functions = BTreeMap::from(["one", "two"].map(|id| (id.to_owned(), function(id))));
        let manifest = Manifest {
            name: "fixture".into(),
            guard: Guard::default(),
            stages: BTreeMap::new(),
            permissions_boundary: None,
            tags: BTreeMap::new(),
            log_retention_days: 14,
            tables: BTreeMap::new(),
            topics: BTreeMap::new(),
            functions,
            http_api: None,
        };
        let fixture = Self { folder, manifest };
        fixture.write("Cargo.toml", WORKSPACE);
        let dependency = "[dependencies]\nshared = { path = \"../../shared\" }\n";
        fixture.write("apps/one/Cargo.toml", &package("one", dependency));
        fixture.write("apps/one/src/main.rs", "fn main() { println!(\"{}\", shared::word()) }\n");
        fixture.write("apps/two/Cargo.toml", &package("two", ""));
        fixture.write("apps/two/src/main.rs", "fn main() { println!(\"two\") }\n");
        fixture.write("shared/Cargo.toml", &package("shared", ""));
        fixture.word("first");
        fixture
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes `one` print a word.
    fn word(&self, word: &str) {
        let text = format!("pub fn word() -> &'static str {{ \"{word}\" }}\n");
        self.write("shared/src/lib.rs", &text);
    }

    async fn try_build(&self, destination: Destination) -> Result<Report> {
        // A file that was written just now counts as written during the build.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = Mutex::new((false, 0, String::new()));
        let progress = |event: Progress<'_>| {
            let mut seen = seen.lock().unwrap();
            match event {
                Progress::Cached => seen.0 = true,
                Progress::Compiling { total, .. } => seen.1 = total,
                Progress::Output(line) => seen.2.push_str(line),
                Progress::Packed { bytes, .. } => assert!(bytes > 1000),
            }
        };
        let folder = self.path("apps");
        let artifacts =
            build::artifacts(&self.manifest, &folder, Arch::host(), destination, &progress).await?;
        let (cached, compiled, output) = seen.into_inner().unwrap();
        Ok(Report { artifacts, cached, compiled, output })
    }

    async fn build(&self) -> Report {
        self.try_build(Destination::Local).await.unwrap()
    }

    async fn fail(&self) -> Failure {
        let error = self.try_build(Destination::Local).await.unwrap_err();
        error.downcast().unwrap()
    }

    /// The folder with the zips for the local cloud.
    fn place(&self) -> PathBuf {
        let folder = self.path("apps").canonicalize().unwrap();
        let place = cache::likely_places(&folder, Arch::host(), Destination::Local);
        place.into_iter().find(|place| place.exists()).unwrap()
    }
}

fn function(package: &str) -> Function {
    Function {
        name: None,
        package: package.into(),
        role: None,
        role_arn: None,
        memory: 128,
        timeout: 3,
        environment: BTreeMap::new(),
        grants: Vec::new(),
        statements: Vec::new(),
        routes: Vec::new(),
        caller: None,
        topics: Vec::new(),
    }
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

/// What the executable in a zip prints.
fn printed(artifact: &Artifact) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootstrap");
    fs::write(&path, unpack(&artifact.zip)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(&path);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn hashes(report: &Report) -> Vec<&str> {
    report.artifacts.iter().map(|artifact| artifact.sha256.as_str()).collect()
}

#[tokio::test]
async fn only_what_changed_is_built() {
    let fixture = Fixture::new();
    let first = fixture.build().await;
    assert!(!first.cached && first.compiled == 3, "{first:?}");
    assert_eq!(first.artifacts[0].function, "one");
    assert_eq!(first.artifacts[0].sha256, code_sha256(&first.artifacts[0].zip));
    assert_eq!(printed(&first.artifacts[0]), "first");
    assert_eq!(printed(&first.artifacts[1]), "two");

    let again = fixture.build().await;
    assert!(again.cached && again.compiled == 0, "{again:?}");
    assert_eq!(again.artifacts, first.artifacts);

    fixture.word("second");
    let edited = fixture.build().await;
    assert!(!edited.cached);
    assert_eq!(printed(&edited.artifacts[0]), "second");
    assert_eq!(edited.artifacts[1], first.artifacts[1], "`two` does not depend on it");

    // Cargo goes by times and would take this for the old file.
    fixture.word("backdated");
    let file = fs::File::options().write(true).open(fixture.path("shared/src/lib.rs")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    let backdated = fixture.build().await;
    assert_eq!(printed(&backdated.artifacts[0]), "backdated");
    assert_eq!(backdated.artifacts[1], first.artifacts[1]);

    fixture.word("first");
    let back = fixture.build().await;
    assert_eq!(hashes(&back), hashes(&first), "same source, same bytes");
    assert!(fixture.build().await.cached);
}

#[tokio::test]
async fn whatever_can_change_the_result_is_noticed() {
    let fixture = Fixture::new();
    fixture.write(
        "apps/two/src/main.rs",
        "fn main() { println!(\"{}\", include_str!(\"../../../text\")) }\n",
    );
    fixture.write("text", "outside");
    let first = fixture.build().await;
    assert_eq!(printed(&first.artifacts[1]), "outside");
    assert!(fixture.build().await.cached);

    fixture.write("text", "changed");
    assert_eq!(printed(&fixture.build().await.artifacts[1]), "changed");
    assert!(fixture.build().await.cached);

    for (file, text) in [
        ("apps/two/src/new.rs", String::new()),
        ("Cargo.toml", format!("{WORKSPACE}# a comment\n")),
        ("apps/two/Cargo.toml", package("two", "description = \"x\"\n")),
        ("apps/.cargo/config.toml", "[term]\nquiet = true\n".into()),
    ] {
        fixture.write(file, &text);
        assert!(!fixture.build().await.cached, "{file}");
        assert!(fixture.build().await.cached, "{file}");
    }
    let lock = fs::read_to_string(fixture.path("Cargo.lock")).unwrap();
    fixture.write("Cargo.lock", &format!("{lock}\n# a comment\n"));
    assert!(!fixture.build().await.cached, "Cargo.lock");
    assert!(fixture.build().await.cached);
    fs::remove_file(fixture.path("apps/two/src/new.rs")).unwrap();
    assert!(!fixture.build().await.cached, "a deleted file");
    assert!(fixture.build().await.cached);
    fixture.write("apps/advent.toml", "name = \"x\"");
    assert!(fixture.build().await.cached, "the manifest changes no code");
}

#[tokio::test]
async fn lost_and_damaged_files_are_made_again() {
    let fixture = Fixture::new();
    let first = fixture.build().await;
    let zip = fixture.place().join("one.zip");

    fs::remove_file(&zip).unwrap();
    let lost = fixture.build().await;
    assert!(!lost.cached && hashes(&lost) == hashes(&first));

    let mut bytes = fs::read(&zip).unwrap();
    bytes[100] ^= 1;
    fs::write(&zip, bytes).unwrap();
    let damaged = fixture.build().await;
    assert!(!damaged.cached && hashes(&damaged) == hashes(&first));

    fs::write(fixture.place().join("record.json"), "{").unwrap();
    let unknown = fixture.build().await;
    assert!(!unknown.cached && hashes(&unknown) == hashes(&first));
    assert!(fixture.build().await.cached);

    fs::remove_dir_all(fixture.path("target/lambda-local")).unwrap();
    assert!(fixture.build().await.cached, "the zips are all that is needed");
}

#[tokio::test]
async fn the_folder_leaves_no_trace_in_the_zips() {
    let (here, there) = (Fixture::new(), Fixture::new());
    for fixture in [&here, &there] {
        let panics = "fn main() { panic!(\"{}\", std::env::args().count()) }\n";
        fixture.write("apps/two/src/main.rs", panics);
    }
    let (here, there) = (here.build().await, there.build().await);
    assert_eq!(hashes(&here), hashes(&there));
}

#[tokio::test]
async fn without_a_profile_of_its_own_the_workspace_gets_one() {
    let mut fixture = Fixture::new();
    fixture.manifest.functions.remove("one");
    let (workspace, _) = WORKSPACE.split_once("[profile").unwrap();
    fixture.write("Cargo.toml", workspace);
    for (destination, most) in [(Destination::Local, 700_000), (Destination::Aws, 500_000)] {
        let report = fixture.try_build(destination).await.unwrap();
        assert_eq!(printed(&report.artifacts[0]), "two");
        let size = unpack(&report.artifacts[0].zip).len();
        assert!(size < most, "{size} bytes for {destination:?}: it is stripped");
    }
}

#[tokio::test]
async fn both_destinations_are_kept_side_by_side() {
    let fixture = Fixture::new();
    // Cargo notes in the profile's folder that it was asked for.
    let reads =
        "fn main() { println!(\"{}\", option_env!(\"FIXTURE_WORD\").unwrap_or(\"two\")) }\n";
    fixture.write("apps/two/src/main.rs", reads);
    let aws = fixture.try_build(Destination::Aws).await.unwrap();
    let local = fixture.build().await;
    assert!(aws.compiled == 3 && local.compiled == 3, "{aws:?} {local:?}");
    for report in [&aws, &local] {
        assert_eq!(printed(&report.artifacts[0]), "first");
    }
    assert!(fixture.path("target/lambda/one").exists());
    assert!(fixture.path("target/lambda-local/one").exists());
    for _ in 0..2 {
        for (destination, first) in [(Destination::Aws, &aws), (Destination::Local, &local)] {
            let again = fixture.try_build(destination).await.unwrap();
            assert!(again.cached && again.artifacts == first.artifacts, "{destination:?}");
        }
    }
    let record = fs::read_to_string(fixture.place().join("record.json")).unwrap();
    assert!(record.contains("FIXTURE_WORD"), "{record}");

    // A change that is built for one is still to be built for the other.
    fixture.word("second");
    assert_eq!(printed(&fixture.build().await.artifacts[0]), "second");
    let aws_again = fixture.try_build(Destination::Aws).await.unwrap();
    assert!(!aws_again.cached);
    assert_eq!(printed(&aws_again.artifacts[0]), "second");
    assert!(fixture.build().await.cached);
}

#[tokio::test]
async fn each_destination_has_its_profile() {
    let fixture = Fixture::new();
    let profile = async |destination| {
        let cargo = cargo::Cargo::new(&fixture.path("apps"));
        workspace::Workspace::around(&cargo).await.unwrap().profile(destination).join(" ")
    };
    let quick = "--config profile.lambda-local.inherits='lambda' \
                 --config profile.lambda-local.lto='off' \
                 --config profile.lambda-local.codegen-units=16 \
                 --config profile.lambda-local.incremental=true";
    assert_eq!(profile(Destination::Aws).await, "--profile lambda");
    assert_eq!(profile(Destination::Local).await, format!("--profile lambda-local {quick}"));

    // It says itself how it wants both.
    let own = format!("{WORKSPACE}[profile.lambda-local]\ninherits = \"dev\"\n");
    fixture.write("Cargo.toml", &own);
    assert_eq!(profile(Destination::Aws).await, "--profile lambda");
    assert_eq!(profile(Destination::Local).await, "--profile lambda-local");

    let (none, _) = WORKSPACE.split_once("[profile").unwrap();
    fixture.write("Cargo.toml", none);
    let small = "--config profile.lambda.inherits='release' --config profile.lambda.opt-level='s' \
                 --config profile.lambda.lto='fat' --config profile.lambda.codegen-units=1 \
                 --config profile.lambda.panic='abort' --config profile.lambda.strip=true";
    assert_eq!(profile(Destination::Aws).await, format!("--profile lambda {small}"));
    let both = format!("--profile lambda-local {small} {quick}");
    assert_eq!(profile(Destination::Local).await, both);
}

#[tokio::test]
async fn what_does_not_compile_is_shown_once() {
    let fixture = Fixture::new();
    fixture.write("shared/src/lib.rs", "pub fn word() -> &'static str { 1_u8 }\n");
    fixture.write("apps/two/src/main.rs", "fn main() { let unused = 1; }\n");
    let failure = fixture.fail().await;
    assert_eq!(failure.exit, 1);
    assert!(failure.what.contains("`shared`") && failure.what.contains("does not compile"));
    let text = std::error::Error::source(&failure).unwrap().to_string();
    assert_eq!(text.matches("mismatched types").count(), 1, "{text}");
    assert!(text.contains("shared/src/lib.rs:1"), "{text}");
    assert!(failure.hint.is_some());

    fixture.word("mended");
    let mended = fixture.build().await;
    assert_eq!(printed(&mended.artifacts[0]), "mended");
    assert!(mended.output.contains("unused variable"), "warnings are passed on: {mended:?}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut fixture = Fixture::new();
    fixture.manifest.functions.insert("three".into(), function("nowhere"));
    let failure = fixture.fail().await;
    assert!(failure.what.contains("`three`") && failure.what.contains("`nowhere`"), "{failure}");
    assert!(failure.hint.unwrap().contains("has `one`, `two`;"));

    fixture.manifest.functions.insert("three".into(), function("shared"));
    let failure = fixture.fail().await;
    assert!(failure.what.contains("`shared`, which has no binary"), "{failure}");

    fixture.write("shared/src/bin/a.rs", "fn main() {}\n");
    fixture.write("shared/src/bin/b.rs", "fn main() {}\n");
    let failure = fixture.fail().await;
    assert!(failure.what.contains("binaries a, b"), "{failure}");

    fs::remove_file(fixture.path("Cargo.toml")).unwrap();
    let failure = fixture.fail().await;
    assert!(failure.what.contains("cargo failed"), "{failure}");
    let text = std::error::Error::source(&failure).unwrap().to_string();
    assert!(text.contains("could not find `Cargo.toml`"), "{text}");
    assert!(failure.hint.unwrap().contains("Cargo package"));
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
