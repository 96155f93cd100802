//! Lists that come in pages, and end.

use std::collections::HashSet;

use super::ApiError;

/// Pages of one list. The longest legal ones, 100 a page, have a tenth of it: a table of all
/// functions, topics or roles that an account may have.
const MOST: usize = 10_000;

/// The tokens of one list: each page has one for the next page, and the last page has none.
pub struct Pages {
    operation: &'static str,
    target: String,
    seen: HashSet<String>,
    most: usize,
}

impl Pages {
    pub fn of(operation: &'static str, target: &str) -> Self {
        Self { operation, target: target.to_owned(), seen: HashSet::new(), most: MOST }
    }

    /// A list as long as whatever was written, such as logs.
    pub fn of_any_number(operation: &'static str, target: &str) -> Self {
        Self { most: usize::MAX, ..Self::of(operation, target) }
    }

    /// The token for the next page; `None` after the last.
    ///
    /// # Errors
    /// The list would never end: the token came before, is empty, or is one of too many.
    pub fn next(&mut self, token: Option<String>) -> Result<Option<String>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        let why = if token.is_empty() {
            "its token for the next page is empty"
        } else if !self.seen.insert(token.clone()) {
            "a token for the next page came twice"
        } else if self.seen.len() >= self.most {
            "it has more pages than any list of AWS's"
        } else {
            return Ok(Some(token));
        };
        let message = format!("the list has no end: {why}");
        Err(ApiError::within(self.operation, &self.target, "EndlessList", &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends() {
        let mut pages = Pages::of("iam:ListRoles", "/");
        assert_eq!(pages.next(Some("a".into())).unwrap().as_deref(), Some("a"));
        assert_eq!(pages.next(Some("b".into())).unwrap().as_deref(), Some("b"));
        assert_eq!(pages.next(None).unwrap(), None);
        for (token, why) in [("a", "twice"), ("b", "twice"), ("", "empty")] {
            let error = pages.next(Some(token.into())).unwrap_err();
            assert!(error.message.contains(why), "{error}");
        }
        let mut pages = Pages::of("iam:ListRoles", "/");
        let end = (0..).find_map(|number| pages.next(Some(number.to_string())).err()).unwrap();
        assert!(end.message.contains("more pages"), "{end}");
        let mut logs = Pages::of_any_number("logs:FilterLogEvents", "/");
        assert!((0..2 * MOST).all(|number| logs.next(Some(number.to_string())).is_ok()));
    }
}
