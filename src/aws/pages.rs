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
    /// How many pages came, or came since the last that was not empty.
    count: usize,
    any_number: bool,
}

impl Pages {
    pub fn of(operation: &'static str, target: &str) -> Self {
        Self {
            operation,
            target: target.to_owned(),
            seen: HashSet::new(),
            count: 0,
            any_number: false,
        }
    }

    /// A list as long as whatever was written, such as logs: only its empty pages are counted.
    pub fn of_any_number(operation: &'static str, target: &str) -> Self {
        Self { any_number: true, ..Self::of(operation, target) }
    }

    /// The whole of a list: `ask` is given the token of each page and answers what is on it, with the
    /// token of the next.
    ///
    /// # Errors
    /// Those of `ask`, and as [`next`](Self::next).
    pub async fn all<T, F>(mut self, ask: impl Fn(Option<String>) -> F) -> Result<Vec<T>, ApiError>
    where
        F: Future<Output = Result<(Vec<T>, Option<String>), ApiError>>,
    {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let (page, next) = ask(token).await?;
            all.extend(page);
            token = self.next(next)?;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// The page that came has something in it.
    pub fn not_empty(&mut self) {
        if self.any_number {
            self.count = 0;
        }
    }

    /// The token for the next page; `None` after the last.
    ///
    /// # Errors
    /// The list would never end: the token came before, is empty, or is one of too many.
    pub fn next(&mut self, token: Option<String>) -> Result<Option<String>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        self.count += 1;
        let why = if token.is_empty() {
            "its token for the next page is empty"
        } else if !self.seen.insert(token.clone()) {
            "a token for the next page came twice"
        } else if self.count >= MOST && self.any_number {
            "thousands of pages, one after another, have nothing in them"
        } else if self.count >= MOST {
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

    #[tokio::test]
    async fn a_list_is_all_of_its_pages() {
        let page = |token: Option<String>| async move {
            let number = token.map_or(0, |token| token.parse().unwrap());
            Ok((vec![number; number], (number < 3).then(|| (number + 1).to_string())))
        };
        let all = Pages::of("iam:ListRoles", "/").all(page).await.unwrap();
        assert_eq!(all, [1, 2, 2, 3, 3, 3]);
    }

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
        let mut page = |number: usize| logs.next(Some(number.to_string()));
        assert!((1..MOST).all(|number| page(number).is_ok()));
        let end = page(MOST).unwrap_err();
        assert!(end.message.contains("nothing in them"), "{end}");
        let mut logs = Pages::of_any_number("logs:FilterLogEvents", "/");
        assert!((0..2 * MOST).all(|number| {
            logs.not_empty();
            logs.next(Some(number.to_string())).is_ok()
        }));
    }
}
