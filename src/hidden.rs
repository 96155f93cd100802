//! What is never printed nor recorded, in whatever form a service may give it back.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// What is shown for it.
pub const INSTEAD: &str = "(hidden)";

/// Bytes. What is shorter is a part of many words; Slack's secrets have 24 and more.
const SHORTEST: usize = 6;

/// Signs of one kind in a row that are looked at together: JSON within JSON doubles its backslashes,
/// and nothing is quoted six times over. What a hostile service sends is read in linear time so.
const RUN: usize = 64;

/// Texts to hide, as they are and as they become when they are quoted: escaped as in JSON (any
/// number of times) or as Rust shows strings, percent-encoded, as HTML, in base64, with their
/// lines moved in.
#[derive(Default)]
pub struct Hidden(Mutex<Needles>);

#[derive(Default)]
struct Needles {
    /// What was read somewhere, and may be no secret at all.
    suspected: BTreeSet<String>,
    texts: Vec<Vec<char>>,
    /// Which of them begin with this character.
    beginning: HashMap<char, Vec<usize>>,
}

impl Hidden {
    pub fn add(&self, secret: &str) {
        self.needles().add(secret);
    }

    pub fn remove(&self, secret: &str) {
        self.needles().forget(secret);
    }

    /// As `add`, unless it turns out to be the name of something.
    pub fn suspect(&self, value: &str) {
        let mut needles = self.needles();
        if !needles.contains(value) {
            needles.suspected.insert(value.to_owned());
            needles.add(value);
        }
    }

    /// These are names, which everybody may see.
    pub fn spare<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut needles = self.needles();
        for name in names {
            if needles.suspected.remove(name) {
                needles.forget(name);
            }
        }
    }

    fn needles(&self) -> MutexGuard<'_, Needles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn without(&self, text: &str) -> String {
        let needles = self.needles();
        let mut shown = String::with_capacity(text.len());
        let mut end = 0;
        for range in needles.found(text) {
            shown.push_str(&text[end..range.start]);
            shown.push_str(INSTEAD);
            end = range.end;
        }
        shown.push_str(&text[end..]);
        shown
    }
}

impl Needles {
    fn add(&mut self, secret: &str) {
        for text in forms_of(secret) {
            if !self.texts.contains(&text) {
                self.index(&text, self.texts.len());
                self.texts.push(text);
            }
        }
    }

    fn contains(&self, secret: &str) -> bool {
        forms_of(secret).first().is_none_or(|form| self.texts.contains(form))
    }

    fn forget(&mut self, secret: &str) {
        let forms = forms_of(secret);
        self.texts.retain(|text| !forms.contains(text));
        self.beginning.clear();
        let texts = std::mem::take(&mut self.texts);
        texts.iter().enumerate().for_each(|(number, text)| self.index(text, number));
        self.texts = texts;
    }

    /// Line breaks may have lost their carriage returns, the first one too.
    fn index(&mut self, text: &[char], number: usize) {
        let returns = text.iter().take_while(|char| **char == '\r').count();
        for first in [text.first(), text.get(returns)].into_iter().flatten() {
            let texts = self.beginning.entry(*first).or_default();
            if !texts.contains(&number) {
                texts.push(number);
            }
        }
    }

    /// Where something is to be hidden: apart from one another, in order.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        if self.texts.is_empty() {
            return found;
        }
        for (start, char) in text.char_indices() {
            // What is escaped may be any of them.
            let escapes =
                matches!(char, '\\' | '%' | '&' | '+') && run(&text[start..], '\\') <= RUN;
            let candidates: Vec<usize> = if escapes {
                let stands_for = |first: char| {
                    let mut any = first == '\r';
                    forms(&text[start..], first, &mut |_| any = true);
                    any
                };
                let all = self.beginning.iter().filter(|(first, _)| stands_for(**first));
                all.flat_map(|(_, texts)| texts).copied().collect()
            } else {
                self.beginning.get(&char).cloned().unwrap_or_default()
            };
            let ends = candidates
                .into_iter()
                .filter_map(|number| end(&text[start..], &self.texts[number]));
            let Some(length) = ends.max().filter(|length| *length > 0) else { continue };
            let range = start..start + length;
            match found.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => found.push(range),
            }
        }
        found
    }
}

/// All that is looked for because of a secret; nothing, if it is a part of many words.
fn forms_of(secret: &str) -> Vec<Vec<char>> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let texts = [secret.to_owned()].into_iter().chain(encoded(secret.as_bytes()));
    texts.map(|text| text.chars().collect()).collect()
}

/// Where `needle` ends in a text that begins with it, in any form; the longest counts.
fn end(text: &str, needle: &[char]) -> Option<usize> {
    let mut ends = vec![0];
    for char in needle {
        let mut next = Vec::new();
        for at in ends {
            forms(&text[at..], *char, &mut |length| next.push(at + length));
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
        if ends.is_empty() {
            return None;
        }
    }
    ends.last().copied()
}

/// Tells the lengths of all forms of a character that `text` begins with. A line may end with a
/// carriage return where it had none, or have lost it.
fn forms(text: &str, char: char, found: &mut dyn FnMut(usize)) {
    shown(text, char, found);
    match char {
        '\r' => found(0),
        '\n' => shown(text, '\r', &mut |before| {
            shown(&text[before..], '\n', &mut |length| found(before + length));
        }),
        _ => {}
    }
}

/// The same, of the character itself.
fn shown(text: &str, char: char, found: &mut dyn FnMut(usize)) {
    if let Some(rest) = text.strip_prefix(char) {
        found(char.len_utf8());
        if char == '\n' {
            (1..=run(rest, ' ')).for_each(|spaces| found(1 + spaces));
        }
    }
    match text.as_bytes().first() {
        Some(b'\\') => {
            let slashes = run(text, '\\');
            if char == '\\' {
                (2..=slashes).for_each(&mut *found);
            }
            if slashes <= RUN {
                found_if(escaped(&text[slashes..], char).map(|length| slashes + length), found);
            }
        }
        Some(b'%') => percent(text, char, found),
        Some(b'+') if char == ' ' => found(1),
        Some(b'&') => found_if(entity(text, char), found),
        _ => {}
    }
}

/// How often `text` has this ASCII sign at its beginning, up to one time more than [`RUN`].
fn run(text: &str, sign: char) -> usize {
    text.chars().take(RUN + 1).take_while(|char| *char == sign).count()
}

fn found_if(length: Option<usize>, found: &mut dyn FnMut(usize)) {
    if let Some(length) = length {
        found(length);
    }
}

/// Length of an entity of HTML or XML that stands for a character.
fn entity(text: &str, char: char) -> Option<usize> {
    /// The longest number of a character has 7 digits.
    const LONGEST: usize = 12;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let number = name.strip_prefix('#').map(|number| {
        let hex = number.strip_prefix(['x', 'X']);
        hex.map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16))
    });
    let is_it = match (number, char) {
        (Some(number), char) => number == Ok(u32::from(char)),
        (None, '&') => name.eq_ignore_ascii_case("amp"),
        (None, '<') => name.eq_ignore_ascii_case("lt"),
        (None, '>') => name.eq_ignore_ascii_case("gt"),
        (None, '"') => name.eq_ignore_ascii_case("quot"),
        (None, '\'') => name.eq_ignore_ascii_case("apos"),
        (None, _) => false,
    };
    is_it.then_some(end + 1)
}

/// Length of what stands for a character behind a backslash.
fn escaped(text: &str, char: char) -> Option<usize> {
    let short = match char {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\0' => '0',
        '"' | '\'' | '/' => char,
        _ => '\0',
    };
    if short != '\0' && text.starts_with(short) {
        return Some(1);
    }
    if let Some(code) = text.strip_prefix("u{") {
        let (code, _) = code.split_once('}')?;
        let same = u32::from_str_radix(code, 16).ok()? == u32::from(char);
        return same.then_some(code.len() + 3);
    }
    if let Some(code) = text.strip_prefix('U').and_then(|text| text.get(..8)) {
        return (u32::from_str_radix(code, 16).ok()? == u32::from(char)).then_some(9);
    }
    if text.starts_with('x') {
        // One for the character, or for each byte of it in UTF-8.
        let code = |text: &str| u32::from_str_radix(text.strip_prefix('x')?.get(..2)?, 16).ok();
        if code(text)? == u32::from(char) {
            return Some(3);
        }
        let (mut rest, mut bytes) = (text, [0; 4]);
        for (number, byte) in char.encode_utf8(&mut bytes).bytes().enumerate() {
            if number > 0 {
                rest = rest.trim_start_matches('\\');
            }
            if code(rest)? != u32::from(byte) {
                return None;
            }
            rest = &rest[3..];
        }
        return Some(text.len() - rest.len());
    }
    // JSON has two escapes where UTF-16 has two units.
    let (mut at, mut units) = (0, [0; 2]);
    for (number, unit) in char.encode_utf16(&mut units).iter().enumerate() {
        let mut rest = &text[at..];
        if number > 0 {
            rest = rest.trim_start_matches('\\');
        }
        let code = rest.strip_prefix('u')?.get(..4)?;
        if u16::from_str_radix(code, 16).ok()? != *unit {
            return None;
        }
        at = text.len() - rest.len() + 5;
    }
    Some(at)
}

/// Tells the lengths of all forms of a percent-encoded character: the signs may be encoded again,
/// and the character may be such a sign.
fn percent(text: &str, char: char, found: &mut dyn FnMut(usize)) {
    let (mut starts, mut bytes) = (vec![text], [0; 4]);
    for byte in char.encode_utf8(&mut bytes).bytes() {
        let mut next = Vec::new();
        for start in starts {
            let Some(mut rest) = start.strip_prefix('%') else { continue };
            for _ in 0..RUN {
                let code = rest.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
                if code == Some(byte) {
                    next.push(&rest[2..]);
                }
                match rest.strip_prefix("25") {
                    Some(again) => rest = again,
                    None => break,
                }
            }
        }
        starts = next;
    }
    for rest in starts {
        found(text.len() - rest.len());
    }
}

/// In base64, by itself and within something longer: what does not depend on what is beside it.
fn encoded(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for alphabet in [&STANDARD, &URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        for before in 0..3 {
            let text = engine.encode([&vec![0; before], secret].concat());
            let own = (before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6;
            forms.push(text[own].to_owned());
        }
        // By itself its last character is known as well.
        forms.push(engine.encode(secret));
    }
    let mut hex = String::new();
    for byte in secret {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    forms.extend([hex.to_uppercase(), hex]);
    forms
}
