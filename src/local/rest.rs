//! Which operation a REST request asks for, by its method and path.

use percent_encoding::percent_decode_str;

use super::call::ApiCall;
use super::error::AwsError;

/// One line per operation: `METHOD /path/with/{}/for/labels Name`, literal segments sorted before
/// labels. Made from the official service models.
pub type Operations = &'static str;

/// Sets a call's operation and labels.
pub fn resolve(operations: Operations, call: &mut ApiCall) -> Result<(), AwsError> {
    let Some((operation, labels)) = operation(operations, call.method.as_str(), &call.path) else {
        return Err(AwsError::unknown_call(call));
    };
    operation.clone_into(&mut call.operation);
    call.labels = labels;
    Ok(())
}

/// The path of an operation, with `{}` for its labels. An operation has one path a method.
pub fn pattern(operations: Operations, method: &str, operation: &str) -> Option<&'static str> {
    operations.lines().find_map(|line| {
        let mut parts = line.split(' ');
        let (verb, pattern, name) = (parts.next()?, parts.next()?, parts.next()?);
        (verb == method && name == operation).then_some(pattern)
    })
}

/// The operation's name and its decoded labels.
pub fn operation(
    operations: Operations,
    method: &str,
    path: &str,
) -> Option<(&'static str, Vec<String>)> {
    let path = path.trim_end_matches('/');
    operations.lines().find_map(|line| {
        let mut parts = line.split(' ');
        let (verb, pattern, name) = (parts.next()?, parts.next()?, parts.next()?);
        if verb != method {
            return None;
        }
        let mut labels = Vec::new();
        let (mut expected, mut actual) = (pattern.split('/'), path.split('/'));
        loop {
            match (expected.next(), actual.next()) {
                (None, None) => return Some((name, labels)),
                (Some("{}"), Some(text)) if !text.is_empty() => {
                    labels.push(percent_decode_str(text).decode_utf8().ok()?.into_owned());
                }
                (Some(literal), Some(text)) if literal == text => {}
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_decoded_and_literals_win() {
        let table = "GET /v2/apis List\nGET /v2/apis/special Special\nGET /v2/apis/{} Get\n\
                     DELETE /v2/tags/{} Untag";
        let found = |method, path| operation(table, method, path);
        assert_eq!(found("GET", "/v2/apis/"), Some(("List", vec![])));
        assert_eq!(found("GET", "/v2/apis/special"), Some(("Special", vec![])));
        assert_eq!(found("GET", "/v2/apis/a%2Fb"), Some(("Get", vec!["a/b".to_owned()])));
        assert_eq!(found("GET", "/v2/apis/a/b"), None);
        assert_eq!(found("GET", "/v2/tags/a"), None);
    }
}
