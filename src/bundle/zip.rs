//! The archive that Lambda takes: one entry, the same bytes for the same executable.

use std::io::{Cursor, Write as _};

use anyhow::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::failure::Failure;

/// Bytes that Lambda takes in one upload (AWS: Lambda quotas, "50 MB zipped").
const MAX_ZIPPED: usize = 50 * 1024 * 1024;
/// Bytes of a function's unpacked code (AWS: Lambda quotas, "250 MB unzipped").
const MAX_UNZIPPED: usize = 250 * 1024 * 1024;

/// The name that `provided.*` runtimes start.
const ENTRY: &str = "bootstrap";

/// Packs an executable. `function` names it in an error.
pub(super) fn pack(function: &str, executable: &[u8]) -> Result<Vec<u8>> {
    pack_within(function, executable, MAX_ZIPPED, MAX_UNZIPPED)
}

fn pack_within(function: &str, executable: &[u8], zipped: usize, plain: usize) -> Result<Vec<u8>> {
    // Any other time, mode, order or level is another hash, and so a needless update.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(executable.len() / 2)));
    writer.start_file(ENTRY, options)?;
    writer.write_all(executable)?;
    let archive = writer.finish()?.into_inner();
    for (size, limit, state) in
        [(executable.len(), plain, "unpacked"), (archive.len(), zipped, "zipped")]
    {
        if size > limit {
            return Err(too_large(function, size, limit, state).into());
        }
    }
    Ok(archive)
}

fn too_large(function: &str, size: usize, limit: usize, state: &str) -> Failure {
    let mib = |bytes: usize| bytes.div_ceil(1024 * 1024);
    Failure::new(format!(
        "function `{function}` is {} MB {state}, Lambda takes at most {} MB",
        mib(size),
        mib(limit)
    ))
    .hint("build with `strip = true`, drop dependencies, or keep large data outside the binary")
}

#[cfg(test)]
mod tests {
    use zip::ZipArchive;

    use super::super::tests::unpack;
    use super::*;

    #[test]
    fn one_entry_that_lambda_can_start() {
        let packed = pack("f", b"#!/bin/sh\nexit 0\n").unwrap();
        let mut archive = ZipArchive::new(Cursor::new(&packed)).unwrap();
        assert_eq!(archive.len(), 1);
        let entry = archive.by_index(0).unwrap();
        assert_eq!(entry.name().unwrap(), "bootstrap");
        assert_eq!(entry.unix_mode(), Some(0o100_755));
        assert_eq!(entry.last_modified(), Some(DateTime::default()));
        assert_eq!(entry.compression(), CompressionMethod::Deflated);
        drop(entry);
        assert_eq!(unpack(&packed), b"#!/bin/sh\nexit 0\n");
        // "Made by Unix": without it the mode means nothing to Lambda.
        let central = packed.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        assert_eq!(packed[central + 5], 3);
    }

    #[test]
    fn same_executable_same_bytes() {
        let first = pack("f", &vec![7; 100_000]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(first, pack("f", &vec![7; 100_000]).unwrap());
        assert_ne!(first, pack("f", &vec![8; 100_000]).unwrap());
        assert!(first.len() < 2000, "it is compressed");
    }

    #[test]
    fn too_large_is_refused() {
        let error = pack_within("heavy", &vec![1; 3_000_000], 1000, 10_000_000).unwrap_err();
        let failure = Failure::of(&error).unwrap();
        assert!(failure.what.contains("`heavy`") && failure.what.contains("zipped"), "{failure}");
        let error = pack_within("heavy", &vec![1; 3_000_000], 1_000_000, 2_000_000).unwrap_err();
        let failure = Failure::of(&error).unwrap();
        assert!(failure.what.contains("3 MB unpacked"), "{failure}");
        assert_eq!(failure.exit, 1);
    }
}
