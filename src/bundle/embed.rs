//! An executable that carries an application, appended after its own bytes.
//!
//! Layout: the executable, padding to a page, [`Head`], the zips, the index as JSON, [`Foot`].
//! The foot leads to the index in two reads, whatever the size of the file; the head tells a file
//! that was cut off from one that never carried anything. Loaders of ELF, Mach-O and PE files
//! ignore what follows the last part they map.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::elf::Findings;
use super::{Arch, Artifact};
use crate::failure::Failure;

/// Raised when the layout changes in a way that this code cannot read.
const FORMAT: u32 = 2;
const HEAD: [u8; 16] = *b"\0advent-payload\n";
const FOOT: [u8; 12] = *b"\nadvent-end\0";
/// [`HEAD`], length of everything from head to foot, first half of the SHA-256 of both.
const HEAD_LEN: usize = 16 + 8 + 16;
/// Offset of the head, offset and length of the index, its SHA-256, format, [`FOOT`].
const FOOT_LEN: usize = 8 + 8 + 8 + 32 + 4 + 12;
/// The head stands at a multiple of this, so that looking for it is quick.
const PAGE: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    /// Version of the advent that packed it.
    version: String,
    /// Text of the manifest.
    manifest: String,
    arch: String,
    functions: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    function: String,
    package: String,
    /// In the file.
    offset: u64,
    length: u64,
    /// Base64 of the SHA-256 of the zip.
    sha256: String,
    findings: Findings,
}

/// An executable that carries an application, opened.
#[derive(Debug)]
pub(super) struct Carrier {
    path: PathBuf,
    file: File,
    index: Index,
    /// Where the executable's own bytes and padding end.
    head: u64,
}

impl Carrier {
    /// The running executable, if it carries an application. Does not hash the zips.
    pub fn running() -> Result<Option<Self>> {
        // Readable even after the file was replaced, as an update of advent itself does.
        let path = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().context("could not find the running executable")?
        };
        Self::open(&path)
    }

    /// Fails if the file was cut off, damaged, or packed by a newer advent.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let named = || format!("could not read {}", path.display());
        let mut file = File::open(path).with_context(named)?;
        let length = file.metadata().with_context(named)?.len();
        let Some(foot) = length.checked_sub(FOOT_LEN as u64) else { return Ok(None) };
        let bytes: [u8; FOOT_LEN] = read_at(&mut file, foot).with_context(named)?;
        let (head, rest) = bytes.split_at(8);
        let (offset, rest) = rest.split_at(8);
        let (size, rest) = rest.split_at(8);
        let (hash, rest) = rest.split_at(32);
        let (format, magic) = rest.split_at(4);
        if magic != FOOT {
            return cut_off(&mut file, path, length).with_context(named)?.map_or(Ok(None), Err);
        }
        if format != FORMAT.to_le_bytes() {
            return Err(Failure::new(format!(
                "{} carries an application in a format that this advent does not know",
                shown(path)
            ))
            .hint("pack it again with this version: `advent pack`")
            .into());
        }
        let (head, offset, size) = (number(head), number(offset), number(size));
        if offset.checked_add(size) != Some(foot) || head >= offset {
            return Err(damaged(path));
        }
        let mut index = vec![0; usize::try_from(size).map_err(|_| damaged(path))?];
        file.seek(SeekFrom::Start(offset)).with_context(named)?;
        file.read_exact(&mut index).with_context(named)?;
        if Sha256::digest(&index).as_slice() != hash {
            return Err(damaged(path));
        }
        let index = serde_json::from_slice(&index).map_err(|_| damaged(path))?;
        Ok(Some(Self { path: path.to_owned(), file, index, head }))
    }

    pub fn manifest(&self) -> &str {
        &self.index.manifest
    }

    /// What the functions are built for.
    pub fn arch(&self) -> Result<Arch> {
        self.index.arch.parse().map_err(|_| damaged(&self.path))
    }

    /// The functions' zips, each checked against its hash. Their warnings depend on what they are
    /// for.
    pub fn artifacts(mut self, arch: Arch) -> Result<Vec<Artifact>> {
        if self.index.arch != arch.to_string() {
            return Err(Failure::refused(format!(
                "{} carries functions for {}, not for {arch}",
                shown(&self.path),
                self.index.arch
            ))
            .hint(format!(
                "leave out `--arch`, or pack one for {arch} from source: \
                 `advent pack --arch {arch}`"
            ))
            .into());
        }
        let mut artifacts = Vec::new();
        let all = self.file.metadata()?.len();
        for entry in self.index.functions {
            if entry.offset.checked_add(entry.length).is_none_or(|end| end > all) {
                return Err(damaged(&self.path));
            }
            let length = usize::try_from(entry.length).map_err(|_| damaged(&self.path))?;
            let mut zip = vec![0; length];
            self.file.seek(SeekFrom::Start(entry.offset))?;
            self.file.read_exact(&mut zip).map_err(|_| damaged(&self.path))?;
            if super::code_sha256(&zip) != entry.sha256 {
                return Err(damaged(&self.path));
            }
            artifacts.push(Artifact {
                function: entry.function,
                package: entry.package,
                arch,
                zip: Arc::from(zip),
                sha256: entry.sha256,
                findings: entry.findings,
                warnings: Vec::new(),
            });
        }
        Ok(artifacts)
    }
}

/// Writes `base` with the application behind it to `out`, at once or not at all.
///
/// What `base` carries already is replaced. Returns the size in bytes.
pub(super) fn write(
    manifest: &str,
    artifacts: &[Artifact],
    arch: Arch,
    base: &Path,
    out: &Path,
) -> Result<u64> {
    let own = match Carrier::open(base)? {
        Some(carrier) => carrier.head,
        None => fs::metadata(base)?.len(),
    };
    let folder = match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let unwritable = |error: std::io::Error| {
        Failure::new(format!("could not write {}", out.display()))
            .source(error)
            .hint("choose a folder that you may write to: `--out FILE`")
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let mut file =
        tempfile::Builder::new().prefix(".advent-pack-").tempfile_in(folder).map_err(unwritable)?;

    let mut source =
        File::open(base).with_context(|| format!("could not read {}", base.display()))?.take(own);
    std::io::copy(&mut source, &mut file).map_err(unwritable)?;
    let head = own.next_multiple_of(PAGE);
    file.write_all(&vec![0; usize::try_from(head - own)?])?;

    let mut offset = head + HEAD_LEN as u64;
    let mut index = Index {
        version: env!("CARGO_PKG_VERSION").into(),
        manifest: manifest.into(),
        arch: arch.to_string(),
        functions: Vec::new(),
    };
    for artifact in artifacts {
        index.functions.push(Entry {
            function: artifact.function.clone(),
            package: artifact.package.clone(),
            offset,
            length: artifact.zip.len() as u64,
            sha256: artifact.sha256.clone(),
            findings: artifact.findings.clone(),
        });
        offset += artifact.zip.len() as u64;
    }
    let index = serde_json::to_vec(&index)?;
    let total = offset + (index.len() + FOOT_LEN) as u64;

    let mut payload = head_bytes(total - head).to_vec();
    for artifact in artifacts {
        payload.extend_from_slice(&artifact.zip);
    }
    payload.extend_from_slice(&index);
    payload.extend(head.to_le_bytes());
    payload.extend(offset.to_le_bytes());
    payload.extend((index.len() as u64).to_le_bytes());
    payload.extend_from_slice(&Sha256::digest(&index));
    payload.extend(FORMAT.to_le_bytes());
    payload.extend(FOOT);
    file.write_all(&payload).map_err(unwritable)?;

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755)).map_err(unwritable)?;
    }
    file.persist(out).map_err(|error| unwritable(error.error))?;
    Ok(total)
}

/// The error for a file that has a head but not all that the head promises.
fn cut_off(file: &mut File, path: &Path, length: u64) -> Result<Option<anyhow::Error>> {
    let mut head = 0;
    while head + HEAD_LEN as u64 <= length {
        let bytes: [u8; HEAD_LEN] = read_at(file, head)?;
        let promised = number(&bytes[16..24]);
        // The hash in it makes sure that this is no constant of the program itself.
        if bytes.starts_with(&HEAD) && bytes == head_bytes(promised) {
            return Ok(Some(
                Failure::new(format!(
                    "{} is incomplete: {length} of {} bytes",
                    shown(path),
                    head.saturating_add(promised)
                ))
                .hint("copy or download it again")
                .into(),
            ));
        }
        head += PAGE;
    }
    Ok(None)
}

fn head_bytes(length: u64) -> [u8; HEAD_LEN] {
    let mut bytes = [0; HEAD_LEN];
    bytes[..16].copy_from_slice(&HEAD);
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let hash = Sha256::digest(&bytes[..24]);
    bytes[24..].copy_from_slice(&hash[..16]);
    bytes
}

fn read_at<const N: usize>(file: &mut File, offset: u64) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn damaged(path: &Path) -> anyhow::Error {
    Failure::new(format!("the application inside {} is damaged", shown(path)))
        .hint("copy or download it again, or pack it again: `advent pack`")
        .into()
}

fn shown(path: &Path) -> String {
    if path == Path::new("/proc/self/exe") {
        let name = std::env::current_exe().ok();
        return name.map_or("this executable".into(), |name| name.display().to_string());
    }
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(function: &str, zip: &[u8]) -> Artifact {
        Artifact {
            function: function.into(),
            package: format!("{function}_package"),
            arch: Arch::X86_64,
            sha256: crate::bundle::code_sha256(zip),
            zip: Arc::from(zip),
            findings: Findings { libraries: vec!["libx.so".into()], ..Findings::default() },
            warnings: Vec::new(),
        }
    }

    /// A folder with a base executable and one that carries two functions.
    fn packed() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (base, out) = (folder.path().join("base"), folder.path().join("deep/out"));
        fs::write(&base, b"#!/bin/sh\necho base; exit\n").unwrap();
        let artifacts = [artifact("a", &[1; 5000]), artifact("b", b"zip b")];
        let size = write("name = \"x\"", &artifacts, Arch::X86_64, &base, &out).unwrap();
        assert_eq!(size, fs::metadata(&out).unwrap().len());
        (folder, base, out)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (_folder, base, out) = packed();
        assert!(Carrier::open(&base).unwrap().is_none());
        let carrier = Carrier::open(&out).unwrap().unwrap();
        assert_eq!(carrier.manifest(), "name = \"x\"");
        assert_eq!(carrier.arch().unwrap(), Arch::X86_64);
        let expected = [artifact("a", &[1; 5000]), artifact("b", b"zip b")];
        assert_eq!(carrier.artifacts(Arch::X86_64).unwrap(), expected);
    }

    #[test]
    #[cfg(unix)]
    fn the_executable_still_runs() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("true");
        let base = fs::canonicalize("/bin/true").unwrap();
        write("", &[artifact("a", &[1; 9])], Arch::X86_64, &base, &out).unwrap();
        assert!(crate::bundle::tests::run(&out).status.success());
    }

    #[test]
    fn packing_a_carrier_replaces_what_it_carries() {
        let (folder, base, out) = packed();
        let again = folder.path().join("again");
        let other = [artifact("c", b"zip c")];
        write("name = \"y\"", &other, Arch::X86_64, &out, &again).unwrap();
        let direct = folder.path().join("direct");
        write("name = \"y\"", &other, Arch::X86_64, &base, &direct).unwrap();
        let carrier = Carrier::open(&again).unwrap().unwrap();
        assert_eq!(carrier.manifest(), "name = \"y\"");
        assert_eq!(carrier.artifacts(Arch::X86_64).unwrap(), other);
        assert_eq!(fs::metadata(&again).unwrap().len(), fs::metadata(&direct).unwrap().len());
        // In place, too.
        write("name = \"z\"", &other, Arch::X86_64, &out, &out).unwrap();
        assert_eq!(Carrier::open(&out).unwrap().unwrap().manifest(), "name = \"z\"");
        let left = fs::read_dir(out.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[test]
    fn other_architecture_is_refused() {
        let (_folder, _, out) = packed();
        let error = Carrier::open(&out).unwrap().unwrap().artifacts(Arch::Arm64).unwrap_err();
        let failure = Failure::of(&error).unwrap();
        assert_eq!(failure.exit, 2);
        assert!(failure.what.contains("for x86_64, not for arm64"), "{failure}");
    }

    #[test]
    fn cut_off_at_any_length_is_said() {
        let (_folder, _, out) = packed();
        let whole = fs::read(&out).unwrap();
        for length in (PAGE + HEAD_LEN as u64..whole.len() as u64).step_by(37) {
            fs::write(&out, &whole[..usize::try_from(length).unwrap()]).unwrap();
            let error = Carrier::open(&out).unwrap_err();
            let text = Failure::of(&error).unwrap().what.clone();
            assert!(text.contains(&format!("{length} of {} bytes", whole.len())), "{text}");
        }
    }

    #[test]
    fn damage_is_found() {
        let (_folder, _, out) = packed();
        let whole = fs::read(&out).unwrap();
        let position = |needle: &[u8]| whole.windows(needle.len()).position(|w| w == needle);
        for (at, opens) in [(position(b"a_package"), false), (position(&[1; 5000]), true)] {
            let mut bytes = whole.clone();
            bytes[at.unwrap()] ^= 1;
            fs::write(&out, &bytes).unwrap();
            let carrier = Carrier::open(&out);
            assert_eq!(carrier.is_ok(), opens);
            let error = carrier.and_then(|c| c.unwrap().artifacts(Arch::X86_64)).unwrap_err();
            assert!(Failure::of(&error).unwrap().what.contains("damaged"), "{error}");
        }
        let mut newer = whole.clone();
        let format = newer.len() - FOOT.len() - 4;
        newer[format] = 9;
        fs::write(&out, &newer).unwrap();
        let error = Carrier::open(&out).unwrap_err();
        assert!(Failure::of(&error).unwrap().what.contains("format"), "{error}");
    }

    #[test]
    fn opening_does_not_depend_on_the_size() {
        let folder = tempfile::tempdir().unwrap();
        let (base, out) = (folder.path().join("base"), folder.path().join("out"));
        fs::write(&base, b"base").unwrap();
        let big = artifact("a", &vec![1; 40_000_000]);
        write("name = \"x\"", &[big], Arch::X86_64, &base, &out).unwrap();
        let best = (0..20).map(|_| {
            let start = std::time::Instant::now();
            assert!(Carrier::open(&out).unwrap().is_some());
            start.elapsed()
        });
        assert!(best.min().unwrap().as_micros() < 1000);
    }

    #[test]
    #[cfg(unix)]
    fn unwritable_folder_is_said() {
        let (folder, base, out) = packed();
        let file_in_the_way = out.join("below");
        let error = write("", &[], Arch::X86_64, &base, &file_in_the_way).unwrap_err();
        assert!(Failure::of(&error).unwrap().what.contains("could not write"), "{error:#}");
        drop(folder);
    }

    /// As [`write`] ends a file, around any index.
    fn with_index(whole: &[u8], index: &[u8]) -> Vec<u8> {
        let foot = &whole[whole.len() - FOOT_LEN..];
        let offset = number(&foot[8..16]);
        let mut bytes = whole[..usize::try_from(offset).unwrap()].to_vec();
        bytes.extend(index);
        bytes.extend(&foot[..16]);
        bytes.extend((index.len() as u64).to_le_bytes());
        bytes.extend(Sha256::digest(index));
        bytes.extend(&foot[56..]);
        bytes
    }

    #[test]
    fn whatever_the_file_it_is_an_answer() {
        use crate::fuzz::{changed, changes, odd, with_odd};
        use proptest::prelude::*;
        let (folder, _, out) = packed();
        let whole = fs::read(&out).unwrap();
        let index = serde_json::to_value(Carrier::open(&out).unwrap().unwrap().index).unwrap();
        let path = folder.path().join("changed");
        let open = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Carrier::open(&path).and_then(|c| c.map(|c| c.artifacts(Arch::X86_64)).transpose())
        };
        assert_eq!(
            open(&with_index(&whole, index.to_string().as_bytes())).unwrap().unwrap().len(),
            2
        );
        let pieces: &[&[u8]] = &[b"\xff\xff\xff\xff\xff\xff\xff\xff", &FOOT, &HEAD, b"\x01\0\0\0"];
        let pieces: &'static [&'static [u8]] = Box::leak(pieces.to_vec().into_boxed_slice());
        proptest!(|(by in changes(pieces), at in any::<prop::sample::Index>(), odd in odd())| {
            let tail = whole.len() - 300;
            let bytes = [&whole[..tail], &changed(&whole[tail..], &by)].concat();
            let _ = open(&bytes);
            // Its hash is right: whoever can write it can hash it.
            let index = with_odd(&index, at, odd, false).to_string();
            let _ = open(&with_index(&whole, index.as_bytes()));
            let _ = open(&with_index(&whole, &changed(index.as_bytes(), &by)));
        });
    }
}
