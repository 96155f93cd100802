//! What a `PartiQL` statement does, and to which table: as much of its grammar as that takes
//! (DynamoDB Developer Guide, "`PartiQL` statements for `DynamoDB`").

/// A statement's action and what it is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// `PartiQLSelect`, `PartiQLInsert`, `PartiQLUpdate` or `PartiQLDelete`.
    pub action: &'static str,
    pub table: String,
    pub index: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// In double quotes or without.
    Name(String),
    /// What stands in no name: strings, numbers, signs.
    Other(char),
}

/// What a statement does; `None` where that cannot be said, or is said of two tables.
pub fn read(text: &str) -> Option<Statement> {
    let tokens = tokens(text)?;
    let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Name(name)) if name.eq_ignore_ascii_case(word));
    let first = tokens.first();
    let (action, before) = match first {
        _ if is(first, "INSERT") => ("PartiQLInsert", "INTO"),
        _ if is(first, "UPDATE") => ("PartiQLUpdate", "UPDATE"),
        _ if is(first, "DELETE") => ("PartiQLDelete", "FROM"),
        _ if is(first, "SELECT") || is(first, "EXISTS") => ("PartiQLSelect", "FROM"),
        _ => return None,
    };
    let mut places = (0..tokens.len()).filter(|at| is(tokens.get(*at), before));
    let at = places.next()?;
    // A subquery, or a name that is a keyword: nobody here knows what it would read.
    if places.next().is_some() {
        return None;
    }
    let name = |at: usize| match tokens.get(at) {
        Some(Token::Name(name)) => Some(name.clone()),
        _ => None,
    };
    let table = name(at + 1)?;
    let index = match tokens.get(at + 2) {
        Some(Token::Other('.')) => Some(name(at + 3)?),
        _ => None,
    };
    Some(Statement { action, table, index })
}

/// `None` where a quote or a comment does not end.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = if char.is_whitespace() {
            &rest[char.len_utf8()..]
        } else if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if char == '"' || char == '\'' {
            let (quoted, after) = quoted(rest, char)?;
            tokens.push(if char == '"' { Token::Name(quoted) } else { Token::Other(char) });
            after
        } else {
            let word = |char: char| char.is_alphanumeric() || "_-$".contains(char);
            let end = rest.find(|char| !word(char)).unwrap_or(rest.len());
            // `a--b` is a name and a comment.
            let end = rest[..end].find("--").unwrap_or(end);
            if end == 0 {
                tokens.push(Token::Other(char));
                &rest[char.len_utf8()..]
            } else {
                tokens.push(Token::Name(rest[..end].to_owned()));
                &rest[end..]
            }
        };
    }
    Some(tokens)
}

/// What is between quotes, which are doubled within, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char != quote {
            inner.push(char);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            inner.push(quote);
        } else {
            return Some((inner, &text[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_however_it_is_written() {
        for (text, action, table, index) in [
            ("SELECT * FROM \"secret\" WHERE k = 'a'", "PartiQLSelect", "secret", None),
            ("SELECT v FROM\"secret\"", "PartiQLSelect", "secret", None),
            ("select v from secret", "PartiQLSelect", "secret", None),
            ("SELECT v\nFROM/* open */\"secret\"", "PartiQLSelect", "secret", None),
            ("SELECT/**/v/**/FROM/**/secret/**/", "PartiQLSelect", "secret", None),
            ("SELECT 'FROM open' FROM secret", "PartiQLSelect", "secret", None),
            ("SELECT v -- FROM open\nFROM secret", "PartiQLSelect", "secret", None),
            ("SELECT * FROM \"secret\".\"by-time\"", "PartiQLSelect", "secret", Some("by-time")),
            ("SELECT * FROM \"secret\" . \"by\"", "PartiQLSelect", "secret", Some("by")),
            ("SELECT * FROM \"a\"\"b\"", "PartiQLSelect", "a\"b", None),
            ("INSERT INTO\"secret\" VALUE {'k': 'a'}", "PartiQLInsert", "secret", None),
            ("UPDATE\"secret\"SET v = 1", "PartiQLUpdate", "secret", None),
            ("UPDATE my-table.x SET v = 1", "PartiQLUpdate", "my-table", Some("x")),
            ("DELETE FROM secret WHERE k = 'it''s FROM'", "PartiQLDelete", "secret", None),
            ("EXISTS(SELECT * FROM \"secret\" WHERE k = ?)", "PartiQLSelect", "secret", None),
        ] {
            let index = index.map(str::to_owned);
            let wanted = Statement { action, table: table.to_owned(), index };
            assert_eq!(read(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for text in [
            "",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM 'a'",
            "SELECT * FROM \"a",
            "SELECT * /* FROM a",
            "SELECT (SELECT * FROM a) FROM b",
            "SELECT \"from\" FROM b",
            "DROP TABLE a",
            "SELECT * FROM \"a\".",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
