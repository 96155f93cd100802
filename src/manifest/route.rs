//! Route keys of an HTTP API: `METHOD /path` or `$default`.

use super::diagnostic::{Diagnostic, Result, did_you_mean, listed, quoted};
use super::section::SpannedStr;

const METHODS: [&str; 8] = ["ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Checks a route and returns what it matches: the route with its parameters' names left out.
pub(super) fn check(route: &SpannedStr<'_>) -> Result<String> {
    let text = *route.get_ref();
    if text == "$default" {
        return Ok(text.to_owned());
    }
    let wrong = |why: String, hint: String| {
        Diagnostic::new(route.span(), format!("{} is not a route: {why}", quoted(text))).hint(hint)
    };
    let form = "A route is a method, a space and a path, as `ANY /hello`, or `$default`.";
    let Some((method, path)) = text.split_once(' ') else {
        let hint = if text.starts_with('/') {
            format!("Put a method before it: `ANY {text}`.")
        } else {
            form.to_owned()
        };
        return Err(wrong(String::from("it has no method and path"), hint));
    };
    if !METHODS.contains(&method) {
        let guess = did_you_mean(method, METHODS);
        let hint = format!("{guess}The methods are {}.", listed(METHODS));
        return Err(wrong(format!("{} is not a method", quoted(method)), hint));
    }
    if !path.starts_with('/') {
        return Err(wrong(String::from("its path does not begin with `/`"), form.to_owned()));
    }
    if path == "/" {
        return Ok(text.to_owned());
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut parameters = Vec::new();
    let mut matches = format!("{method} ");
    for (index, segment) in segments.iter().enumerate() {
        if segment.is_empty() {
            let why = String::from("a segment of its path is empty");
            return Err(wrong(why, String::from("Leave out the second or last `/`.")));
        }
        let Some(parameter) = segment.strip_prefix('{') else {
            if !segment.chars().all(is_path) {
                let why = format!(
                    "the segment {} has characters that a path cannot have",
                    quoted(segment)
                );
                let hint = "A segment is of letters, digits and `-._~:@!$&'()*+,;=%`, \
                            or a parameter: `{name}`, or, as the last, `{name+}`.";
                return Err(wrong(why, hint.to_owned()));
            }
            matches.push('/');
            matches.push_str(segment);
            continue;
        };
        let name = parameter.strip_suffix('}').unwrap_or_default();
        let greedy = name.ends_with('+');
        let name = name.strip_suffix('+').unwrap_or(name);
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            let why = format!("{} is not a parameter", quoted(segment));
            return Err(wrong(
                why,
                String::from("A parameter is `{name}`, or, as the last segment, `{name+}`."),
            ));
        }
        if greedy && index + 1 != segments.len() {
            let why = format!("{} takes the rest of the path", quoted(segment));
            return Err(wrong(
                why,
                format!("Only the last segment may be one. Elsewhere: `{{{name}}}`."),
            ));
        }
        if parameters.contains(&name) {
            let why = format!("it has two parameters {}", quoted(name));
            return Err(wrong(why, String::from("Give each parameter a name of its own.")));
        }
        parameters.push(name);
        matches.push_str(if greedy { "/{+}" } else { "/{}" });
    }
    Ok(matches)
}

fn is_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~:@!$&'()*+,;=%".contains(character)
}
