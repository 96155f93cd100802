//! Would an executable start on Lambda? Its machine, its loader, its GLIBC symbols.

use std::fmt;

use anyhow::{Context as _, Result};
use object::elf::{
    DT_NEEDED, EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64, FileHeader64, SHT_DYNSYM,
};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, Sym as _};
use object::{Endianness, SymbolIndex};
use serde::{Deserialize, Serialize};

use super::Arch;

/// glibc of `provided.al2023` (AWS: Lambda runtimes, OS-only runtime on Amazon Linux 2023).
pub(super) const LAMBDA_GLIBC: Version = Version(2, 34);

/// Shared libraries that `provided.al2023` certainly has: glibc's own and `libgcc_s`.
const ON_LAMBDA: [&str; 8] = [
    "libc.so",
    "libm.so",
    "libpthread.so",
    "libdl.so",
    "librt.so",
    "libresolv.so",
    "libutil.so",
    "libgcc_s.so",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Version(u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Why an executable could not start on Lambda.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Obstacle {
    /// Not a 64-bit ELF file.
    Format,
    Machine(String),
    /// Linked against a loader that Lambda does not have.
    Loader(String),
    Glibc {
        needs: Version,
        /// A few of the symbols that need it.
        symbols: Vec<String>,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("it is not a 64-bit Linux executable"),
            Self::Machine(found) => write!(f, "it is built for {found}"),
            Self::Loader(path) => write!(f, "it needs the loader {path}, which Lambda lacks"),
            Self::Glibc { needs, symbols } => {
                write!(f, "it needs glibc {needs}, Lambda's provided.al2023 has {LAMBDA_GLIBC}")?;
                if !symbols.is_empty() {
                    write!(f, " (because of {})", symbols.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

/// What was found out about an executable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Findings {
    pub obstacle: Option<Obstacle>,
    /// Shared libraries that may be missing on Lambda.
    pub libraries: Vec<String>,
}

/// Examines the bytes of an executable. Fails if they are an ELF file, but a broken one.
pub(super) fn examine(bytes: &[u8], arch: Arch) -> Result<Findings> {
    let found = |obstacle| Ok(Findings { obstacle: Some(obstacle), ..Findings::default() });
    if !bytes.starts_with(b"\x7fELF\x02") {
        return found(Obstacle::Format);
    }
    let broken = "the ELF file is damaged";
    let header = FileHeader64::<Endianness>::parse(bytes).context(broken)?;
    let endian = header.endian().context(broken)?;
    let machine = header.e_machine.get(endian);
    let wanted = match arch {
        Arch::X86_64 => EM_X86_64,
        Arch::Arm64 => EM_AARCH64,
    };
    if machine != wanted {
        return found(Obstacle::Machine(machine_name(machine)));
    }
    let mut loader = None;
    for segment in header.program_headers(endian, bytes).context(broken)? {
        if let Some(path) = segment.interpreter(endian, bytes).context(broken)? {
            loader = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    // Without a loader it is static and needs nothing.
    let Some(loader) = loader else { return Ok(Findings::default()) };
    if !loader.contains("/ld-linux-") {
        return found(Obstacle::Loader(loader));
    }
    dynamic(header, endian, bytes).context(broken)
}

fn dynamic(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    bytes: &[u8],
) -> object::Result<Findings> {
    let mut findings = Findings::default();
    let sections = header.sections(endian, bytes)?;
    if let Some((entries, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
            let name = String::from_utf8_lossy(entry.string(endian, strings)?).into_owned();
            let known = name.starts_with("ld-linux-")
                || ON_LAMBDA.iter().any(|known| name.starts_with(known));
            if !known {
                findings.libraries.push(name);
            }
        }
    }

    let mut needs = None;
    if let Some((mut needed, link)) = sections.gnu_verneed(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((_, mut versions)) = needed.next()? {
            while let Some(version) = versions.next()? {
                needs = needs.max(glibc(version.name(endian, strings)?));
            }
        }
    }
    let Some(needs) = needs.filter(|&needs| needs > LAMBDA_GLIBC) else { return Ok(findings) };

    let mut symbols = Vec::new();
    let dynamic = sections.symbols(endian, bytes, SHT_DYNSYM)?;
    if let Some(table) = sections.versions(endian, bytes)? {
        for (index, symbol) in dynamic.iter().enumerate() {
            let version = table.version(table.version_index(endian, SymbolIndex(index)))?;
            if version.and_then(|version| glibc(version.name())).is_some_and(|v| v > LAMBDA_GLIBC) {
                let name = String::from_utf8_lossy(symbol.name(endian, dynamic.strings())?);
                symbols.push(name.into_owned());
            }
        }
    }
    symbols.truncate(3);
    findings.obstacle = Some(Obstacle::Glibc { needs, symbols });
    Ok(findings)
}

/// The glibc release that brought a symbol version such as `GLIBC_2.17` or `GLIBC_2.2.5`.
fn glibc(version: &[u8]) -> Option<Version> {
    let rest = std::str::from_utf8(version).ok()?.strip_prefix("GLIBC_")?;
    // Marks features of the loader itself; the first of them, `DT_RELR`, came with 2.36.
    if rest.starts_with("ABI_") {
        return Some(Version(2, 36));
    }
    let mut numbers = rest.split('.').map(str::parse);
    match (numbers.next()?, numbers.next()?) {
        (Ok(major), Ok(minor)) => Some(Version(major, minor)),
        _ => None,
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        EM_X86_64 => "x86_64".into(),
        EM_AARCH64 => "arm64".into(),
        EM_386 => "32-bit x86".into(),
        EM_ARM => "32-bit Arm".into(),
        EM_RISCV => "RISC-V".into(),
        other => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A static executable of one program header, as small as the format permits.
    pub fn minimal(machine: u16, loader: Option<&str>) -> Vec<u8> {
        let mut elf = Vec::new();
        elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        elf.extend(2u16.to_le_bytes()); // ET_EXEC
        elf.extend(machine.to_le_bytes());
        elf.extend(1u32.to_le_bytes());
        elf.extend(0u64.to_le_bytes()); // entry
        elf.extend(64u64.to_le_bytes()); // program headers
        elf.extend(0u64.to_le_bytes()); // no section headers
        elf.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 1, 64, 0, 0] {
            elf.extend(half.to_le_bytes());
        }
        let path = loader.map_or(vec![], |path| format!("{path}\0").into_bytes());
        elf.extend(if loader.is_some() { 3u32 } else { 1 }.to_le_bytes());
        elf.extend(4u32.to_le_bytes());
        for word in [120u64, 0, 0, path.len() as u64, path.len() as u64, 1] {
            elf.extend(word.to_le_bytes());
        }
        elf.extend(path);
        elf
    }

    fn obstacle(bytes: &[u8], arch: Arch) -> Option<Obstacle> {
        examine(bytes, arch).unwrap().obstacle
    }

    #[test]
    fn machine_must_match() {
        let arm = minimal(EM_AARCH64, None);
        assert_eq!(obstacle(&arm, Arch::Arm64), None);
        assert_eq!(obstacle(&arm, Arch::X86_64), Some(Obstacle::Machine("arm64".into())));
        let intel = minimal(EM_X86_64, None);
        assert_eq!(obstacle(&intel, Arch::X86_64), None);
        assert_eq!(obstacle(&intel, Arch::Arm64), Some(Obstacle::Machine("x86_64".into())));
    }

    #[test]
    fn other_formats_are_named() {
        for bytes in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x01\x01", b"\xcf\xfa\xed\xfe"] {
            assert_eq!(obstacle(bytes, Arch::X86_64), Some(Obstacle::Format));
        }
        assert!(examine(b"\x7fELF\x02\x01", Arch::X86_64).is_err());
    }

    #[test]
    fn musl_loader_is_not_on_lambda() {
        let musl = minimal(EM_X86_64, Some("/lib/ld-musl-x86_64.so.1"));
        let path = "/lib/ld-musl-x86_64.so.1".to_owned();
        assert_eq!(obstacle(&musl, Arch::X86_64), Some(Obstacle::Loader(path)));
        let gnu = minimal(EM_AARCH64, Some("/lib/ld-linux-aarch64.so.1"));
        assert_eq!(obstacle(&gnu, Arch::Arm64), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(glibc(b"GLIBC_2.2.5"), Some(Version(2, 2)));
        assert!(glibc(b"GLIBC_2.4") < glibc(b"GLIBC_2.34"));
        assert!(glibc(b"GLIBC_ABI_DT_RELR") > Some(LAMBDA_GLIBC));
        assert_eq!(glibc(b"GLIBC_PRIVATE"), None);
        assert_eq!(glibc(b"GCC_3.0"), None);
    }

    /// What the machine's C compiler makes of a program.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn compiled(source: &str, arguments: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (c, out) = (folder.path().join("a.c"), folder.path().join("a"));
        std::fs::write(&c, source).unwrap();
        let mut cc = std::process::Command::new("cc");
        assert!(cc.arg(&c).arg("-o").arg(&out).args(arguments).status().unwrap().success());
        std::fs::read(out).unwrap()
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn real_executables() {
        let plain = "int main(void) { return 0; }";
        assert_eq!(examine(&compiled(plain, &[]), Arch::host()).unwrap(), Findings::default());

        // The stub library stands for a newer glibc than the one that is installed here.
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("map"), "GLIBC_2.39 { global: from_the_future; local: *; };").unwrap();
        let library = compiled(
            "int from_the_future(void) { return 0; }",
            &["-shared", "-fPIC", "-nostdlib", &format!("-Wl,--version-script={}", path("map"))],
        );
        std::fs::write(path("libfuture.so"), library).unwrap();
        let user = "int from_the_future(void); int main(void) { return from_the_future(); }";
        let findings = examine(&compiled(user, &[&path("libfuture.so")]), Arch::host()).unwrap();
        let symbols = vec!["from_the_future".to_owned()];
        assert_eq!(findings.obstacle, Some(Obstacle::Glibc { needs: Version(2, 39), symbols }));
        assert_eq!(findings.libraries.len(), 1, "{findings:?}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_bytes_it_is_an_answer(
            by in crate::fuzz::changes(&[b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x80", b"GLIBC_", b"\x7fELF"]),
            of in 0..3,
        ) {
            let seed = match of {
                0 => std::fs::read("/bin/true").unwrap(),
                1 => minimal(EM_X86_64, Some("/lib64/ld-linux-x86-64.so.2")),
                _ => minimal(EM_AARCH64, None),
            };
            // The part that is read first, and so decides where the rest is looked for.
            let (head, rest) = seed.split_at(seed.len().min(1024));
            for bytes in [crate::fuzz::changed(&seed, &by), [&crate::fuzz::changed(head, &by), rest].concat()] {
                let _ = examine(&bytes, Arch::X86_64);
            }
        }
    }
}
