//! What cargo writes to standard error: progress as events, and what is left as text.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Progress;

/// Turns cargo's progress into events and keeps everything else that is not routine.
pub(super) async fn read_progress(
    mut stderr: impl AsyncRead + Unpin,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<String> {
    let (mut text, mut line, mut buffer) = (String::new(), Vec::new(), [0; 4096]);
    loop {
        let count = stderr.read(&mut buffer).await.context("could not read cargo's progress")?;
        for &byte in &buffer[..count] {
            if byte != b'\r' && byte != b'\n' {
                line.push(byte);
                continue;
            }
            read_line(&String::from_utf8_lossy(&line), &mut text, progress);
            line.clear();
        }
        if count == 0 {
            read_line(&String::from_utf8_lossy(&line), &mut text, progress);
            return Ok(text);
        }
    }
}

fn read_line(line: &str, text: &mut String, progress: &(dyn Fn(Progress<'_>) + Sync)) {
    // An error can follow a bar on the same line, which it overwrites on a terminal.
    let line = match line.find("error: ") {
        Some(at) if line.trim_start().starts_with("Building [") => &line[at..],
        _ => line,
    };
    let line = line.strip_prefix("\x1b[K").unwrap_or(line);
    if let Some((done, total, krate)) = parse_bar(line) {
        progress(Progress::Compiling { done, total, krate });
    } else if line.trim_start().starts_with("Blocking ") {
        progress(Progress::Output(line.trim()));
    } else if !line.trim().is_empty() && !is_routine(line) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// `    Building [====>   ] 12/301: syn, tokio(build)`: 12, 301, `syn`.
fn parse_bar(line: &str) -> Option<(usize, usize, &str)> {
    let rest = line.trim_start().strip_prefix("Building [")?;
    let (_, rest) = rest.split_once("] ")?;
    let (counts, crates) = rest.split_once(": ").unwrap_or((rest.trim_end(), ""));
    let (done, total) = counts.trim().split_once('/')?;
    let first = crates.split([',', '(']).next().unwrap_or_default().trim();
    Some((done.parse().ok()?, total.parse().ok()?, first))
}

/// Cargo's status lines: a verb, right-aligned to 12 columns.
fn is_routine(line: &str) -> bool {
    let verb = line.trim_start();
    let indent = line.len() - verb.len();
    let verb = verb.split(' ').next().unwrap_or_default();
    indent > 0 && indent + verb.len() == 12 && verb.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn bars_are_parsed() {
        let bar = "    Building [=====>          ] 12/301: syn, tokio(build)      ";
        assert_eq!(parse_bar(bar), Some((12, 301, "syn")));
        assert_eq!(parse_bar("    Building [=>   ] 0/1: a(bin)  "), Some((0, 1, "a")));
        assert_eq!(parse_bar("    Building [=>   ] 3/4  "), Some((3, 4, "")));
        assert_eq!(parse_bar("   Compiling syn v2.0.0"), None);
    }

    #[test]
    fn what_is_not_routine_is_kept() {
        for line in ["   Compiling a v0.1.0 (/tmp)", "    Finished `x` profile", "    Updating i"] {
            assert!(is_routine(line), "{line}");
        }
        for line in ["error: no", "  --> src/main.rs:1:1", "warning: unused", "Caused by:"] {
            assert!(!is_routine(line), "{line}");
        }
    }

    #[tokio::test]
    async fn stderr_becomes_events_and_text() {
        let stderr = "    Updating crates.io index\n   Compiling a v0.1.0\n    \
            Building [>  ] 1/3: a(bin)  \r    Building [=> ] 2/3: b   error: could not compile\n\
            Caused by:\n  no network";
        let seen = Mutex::new(Vec::new());
        let progress = |event: Progress<'_>| {
            if let Progress::Compiling { done, krate, .. } = event {
                seen.lock().unwrap().push((done, krate.to_owned()));
            }
        };
        let text = read_progress(stderr.as_bytes(), &progress).await.unwrap();
        assert_eq!(text, "error: could not compile\nCaused by:\n  no network\n");
        assert_eq!(*seen.lock().unwrap(), [(1, "a".to_owned())]);
    }
}
