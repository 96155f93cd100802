//! Which route a request takes (AWS: Working with routes for HTTP APIs).

use std::collections::BTreeMap;

/// A route key, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern<'a> {
    /// None: any.
    method: Option<&'a str>,
    /// None: `$default`.
    path: Option<Vec<Segment<'a>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    // In rising order of preference.
    Greedy(&'a str),
    Parameter(&'a str),
    Literal(&'a str),
}

const METHODS: &[&str] = &["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

impl<'a> Pattern<'a> {
    pub fn parse(key: &'a str) -> Option<Self> {
        if key == "$default" {
            return Some(Self { method: None, path: None });
        }
        let (method, path) = key.split_once(' ')?;
        if !METHODS.contains(&method) {
            return None;
        }
        let mut segments = Vec::new();
        for text in path.strip_prefix('/')?.split('/') {
            if matches!(segments.last(), Some(Segment::Greedy(_))) {
                return None;
            }
            let variable = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            segments.push(match variable {
                Some(name) => match name.strip_suffix('+') {
                    Some("") => return None,
                    Some(name) => Segment::Greedy(name),
                    None if name.is_empty() => return None,
                    None => Segment::Parameter(name),
                },
                None if text.contains(['{', '}', ' ']) => return None,
                None => Segment::Literal(text),
            });
        }
        Some(Self { method: (method != "ANY").then_some(method), path: Some(segments) })
    }

    /// The path parameters, if this route can take the request.
    fn matches(&self, method: &str, path: &str) -> Option<BTreeMap<String, String>> {
        if self.method.is_some_and(|own| own != method) {
            return None;
        }
        let mut parameters = BTreeMap::new();
        let Some(segments) = &self.path else { return Some(parameters) };
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in segments {
            let text = rest?;
            let (first, others) = match text.split_once('/') {
                Some((first, others)) => (first, Some(others)),
                None => (text, None),
            };
            match segment {
                Segment::Literal(literal) if *literal == first => {}
                Segment::Parameter(name) if !first.is_empty() => {
                    parameters.insert((*name).to_owned(), first.to_owned());
                }
                Segment::Greedy(name) if !text.is_empty() => {
                    parameters.insert((*name).to_owned(), text.to_owned());
                    return Some(parameters);
                }
                _ => return None,
            }
            rest = others;
        }
        rest.is_none().then_some(parameters)
    }

    /// The greater takes precedence: full matches, then greedy ones, then `$default`.
    fn rank(&self) -> impl Ord + use<'a> {
        let segments = self.path.clone().unwrap_or_default();
        let greedy = matches!(segments.last(), Some(Segment::Greedy(_)));
        // Only kinds count, not names.
        let kinds: Vec<u8> = segments
            .iter()
            .map(|segment| match segment {
                Segment::Greedy(_) => 0,
                Segment::Parameter(_) => 1,
                Segment::Literal(_) => 2,
            })
            .collect();
        (self.path.is_some(), !greedy, kinds, self.method.is_some())
    }

    /// Method and path as they stand in the ARN of a call: `*/aws_advent`, `$default`.
    pub fn source(key: &str) -> String {
        match key.split_once(" /") {
            Some(("ANY", path)) => format!("*/{path}"),
            Some((method, path)) => format!("{method}/{path}"),
            None => key.to_owned(),
        }
    }
}

/// The route key that takes a request, with its path parameters.
pub(super) fn select<'a>(
    keys: impl IntoIterator<Item = &'a str>,
    method: &str,
    path: &str,
) -> Option<(&'a str, BTreeMap<String, String>)> {
    keys.into_iter()
        .filter_map(|key| {
            let pattern = Pattern::parse(key)?;
            let parameters = pattern.matches(method, path)?;
            Some((pattern.rank(), key, parameters))
        })
        .max_by(|(one, ..), (other, ..)| one.cmp(other))
        .map(|(_, key, parameters)| (key, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_wins() {
        // The example of AWS's guide, and some more.
        let keys = [
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
            "ANY /pets/cat",
            "POST /pets/cat",
        ];
        let taken = |method, path| select(keys, method, path).map(|(key, _)| key);
        assert_eq!(taken("GET", "/pets/dog/1"), Some("GET /pets/dog/1"));
        assert_eq!(taken("GET", "/pets/dog/2"), Some("GET /pets/dog/{id}"));
        assert_eq!(taken("GET", "/pets/bird/3"), Some("GET /pets/{proxy+}"));
        assert_eq!(taken("POST", "/test/5"), Some("ANY /{proxy+}"));
        assert_eq!(taken("POST", "/pets/cat"), Some("POST /pets/cat"));
        assert_eq!(taken("PUT", "/pets/cat"), Some("ANY /pets/cat"));
        assert_eq!(taken("GET", "/"), Some("$default"));
        let (_, parameters) = select(keys, "GET", "/pets/a/b/c").unwrap_or_default();
        assert_eq!(parameters.get("proxy").map(String::as_str), Some("a/b/c"));
    }

    #[test]
    fn a_slash_at_the_end_is_another_path() {
        let taken = |path| select(["ANY /aws_advent"], "POST", path).is_some();
        assert!(taken("/aws_advent"));
        assert!(!taken("/aws_advent/"));
        assert!(!taken("/"));
        assert!(!taken("/aws_advent/x"));
        assert!(select(["GET /"], "GET", "/").is_some());
        assert!(select(["GET /{id}"], "GET", "/").is_none());
    }

    #[test]
    fn keys_are_checked() {
        for key in ["", "ANY", "any /a", "ANY a", "ANY /{a+}/b", "ANY /{}", "TRACE /a", "ANY /a b"]
        {
            assert_eq!(Pattern::parse(key), None, "{key}");
        }
        assert_eq!(Pattern::source("ANY /a/{b}"), "*/a/{b}");
        assert_eq!(Pattern::source("GET /a"), "GET/a");
        assert_eq!(Pattern::source("$default"), "$default");
    }

    proptest::proptest! {
        /// The route that is taken matches by itself, and none that is spelled out is passed over.
        #[test]
        fn a_literal_path_is_always_found(
            keys in proptest::collection::vec("(ANY|GET|POST) (/([a-c]|\\{[a-c]\\}|\\{[a-c]\\+\\})){1,4}", 0..8),
            path in "(/[a-c%+. ]{0,2}){1,5}",
            noise in proptest::prelude::any::<String>(),
        ) {
            let literal = format!("GET {path}");
            let keys = || keys.iter().map(String::as_str).chain(["$default"]);
            let (taken, _) = select(keys(), "GET", &path).unwrap();
            proptest::prop_assert!(taken == "$default" || select([taken], "GET", &path).is_some());
            if Pattern::parse(&literal).is_some() {
                let all = keys().chain([literal.as_str()]);
                proptest::prop_assert_eq!(select(all, "GET", &path).unwrap().0, literal.as_str());
            }
            let _ = select([noise.as_str(), "$default"], &noise, &noise);
        }
    }
}
