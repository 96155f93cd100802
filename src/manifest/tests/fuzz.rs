//! Whatever the text: an answer, no panic; and a refusal that points into the file.

use super::super::MAX_BYTES;
use super::{ARTICLE, EVERYTHING, refuses};
use crate::fuzzing::is_accepted;

/// Pieces that mean something to the parser, to get beyond its first stage.
const PIECES: [&str; 32] = [
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "\n",
    "\r\n",
    "#",
    "\\u0000",
    "\u{feff}",
    "\t",
    "é",
    "🦀",
    "\0",
    "${",
    "${table.words.arn}",
    "table",
    "function",
    "f",
    "name",
    "secret",
    "-1",
    "99999999999999999999",
    "1e400",
    "1979-05-27",
    "true",
];

/// Xorshift: the same texts on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(12)).min(bytes.len());
        match self.below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..end, PIECES[self.below(PIECES.len())].bytes())),
            2 => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
            3 => {
                let from = self.below(other.len());
                let to = (from + self.below(60)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
        }
    }
}

#[test]
fn changed_manifests() {
    let mut random = Random(0x2016_1201);
    let seeds = [ARTICLE.as_bytes(), EVERYTHING.as_bytes()];
    let mut accepted = 0;
    for round in 0..4000 {
        let mut bytes = seeds[round % 2].to_vec();
        for _ in 0..=random.below(4) {
            random.change(&mut bytes, seeds[(round / 2) % 2]);
        }
        accepted += usize::from(is_accepted(bytes));
    }
    // Else it would have tried one side only.
    assert!((100..3900).contains(&accepted), "{accepted} accepted");
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(0xad7e_4701);
    for _ in 0..2000 {
        let length = random.below(40);
        is_accepted((0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect());
    }
}

#[test]
fn arbitrary_pieces() {
    let mut random = Random(0x5eed);
    for _ in 0..4000 {
        let length = random.below(12);
        let text: String = (0..length).map(|_| PIECES[random.below(PIECES.len())]).collect();
        is_accepted(text.into_bytes());
    }
}

#[test]
fn every_beginning() {
    for end in 0..EVERYTHING.len() {
        is_accepted(EVERYTHING.as_bytes()[..end].to_vec());
    }
}

#[test]
fn too_large() {
    refuses(
        &format!("name = \"x\"\n{}", "#".repeat(MAX_BYTES)),
        "the manifest is too large
 --> advent.toml:1:1
  |
1 | name = \"x\"
  | ^",
        "It may have 512 KiB.",
    );
}

#[test]
fn very_deep() {
    let text = format!("name = {}", "[".repeat(10_000));
    assert!(!is_accepted(text.into_bytes()));
    let text = format!("name = {}", "{a=".repeat(10_000));
    assert!(!is_accepted(text.into_bytes()));
    let text = format!("{} = 1", vec!["a"; 10_000].join("."));
    assert!(!is_accepted(text.into_bytes()));
}

#[test]
fn very_many() {
    use std::fmt::Write as _;
    let mut text = String::from("name = \"x\"\n[topic.news]\n");
    for number in 0..2000 {
        writeln!(text, "[function.f{number}]\ntopic = \"news\"\nroute = \"GET /{number}\"")
            .unwrap();
    }
    assert!(is_accepted(text.into_bytes()));
}
