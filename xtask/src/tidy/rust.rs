//! Rust sources as their code alone: comments and literals blanked out, lines kept.

/// The code of a source text. Comments, strings and character literals become blanks.
pub(super) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
            continue;
        }
        code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// The identifiers and keywords of [`code`], with the line of each, counted from 1.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(move |word| (index + 1, word))
    })
}

/// Where the comment or literal that starts at `at` ends; `at` if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let starts =
        |at: usize, what: &str| what.chars().eq(chars[at..].iter().copied().take(what.len()));
    let find = |from: usize, what: &str| (from..chars.len()).find(|&at| starts(at, what));
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts(at, "//") {
        return find(at, "\n").unwrap_or(chars.len());
    }
    if starts(at, "/*") {
        let (mut depth, mut at) = (1, at + 2);
        while depth > 0 && at < chars.len() {
            match (starts(at, "/*"), starts(at, "*/")) {
                (true, _) => (depth, at) = (depth + 1, at + 2),
                (_, true) => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        return at.min(chars.len());
    }
    // r"", r#""#, br"", cr"": no escapes, ends with as many hashes as it began with.
    if !in_word {
        let prefix = ["br", "cr", "r"].into_iter().find(|prefix| starts(at, prefix));
        if let Some(prefix) = prefix {
            let from = at + prefix.len();
            let hashes = chars[from..].iter().take_while(|&&c| c == '#').count();
            if chars.get(from + hashes) == Some(&'"') {
                let end = format!("\"{}", "#".repeat(hashes));
                return find(from + hashes + 1, &end).map_or(chars.len(), |at| at + end.len());
            }
        }
    }
    match chars[at] {
        '"' => quoted_end(chars, at, '"'),
        // 'a' and '\n', but not the lifetime 'a.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            quoted_end(chars, at, '\'')
        }
        _ => at,
    }
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        for (text, left) in [
            ("a // b\nc", "a \nc"),
            ("a /* b /* c */ d */ e", "a  e"),
            ("f(\"x \\\" y\") g", "f() g"),
            ("r#\"a \" b\"# c", " c"),
            ("br\"a\" b\"c\" d", " b d"),
            ("'a' <'a> '\\'' 'b", " <'a>  'b"),
            ("attr\"x\"", "attr"),
            ("let r = 1;", "let r = 1;"),
        ] {
            let code = code(text);
            assert_eq!(code.chars().count(), text.chars().count(), "{text}");
            let squeezed = |text: &str| text.replace(' ', "");
            assert_eq!(squeezed(&code), squeezed(left), "{text}");
        }
    }

    #[test]
    fn words_have_lines() {
        let found: Vec<_> = words("use aws_x::y;\n\nb!()").collect();
        assert_eq!(found, [(1, "use"), (1, "aws_x"), (1, "y"), (3, "b")]);
    }
}
