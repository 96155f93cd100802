//! The wildcards of policies: `*` any text, `?` any one character.

/// Whether the whole of `text` fits. Linear in practice: only the last `*` is tried again.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "aXbXbXc"),
            ("a?c", "abc"),
            (
                "arn:aws:logs:*:*:log-group:/aws/*:*",
                "arn:aws:logs:r:1:log-group:/aws/l/f:log-stream:s",
            ),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a?", "a"), ("a*c", "abd"), ("", "a"), ("*a", "b")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
