//! The XML of the query protocol.

use quick_xml::escape::escape;
use serde_json::{Value, json};

use super::call::ApiCall;
use super::error::AwsError;

/// The key under which [`map`] hides its pairs. No AWS member has such a name.
const ENTRIES: &str = "<entries>";

/// A map of the query protocol, written as `<entry><key/><value/></entry>`s.
pub fn map<K: Into<String>, V: Into<Value>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let pairs: Vec<Value> =
        pairs.into_iter().map(|(key, value)| json!([key.into(), value.into()])).collect();
    json!({ ENTRIES: pairs })
}

/// The whole answer to a query operation.
pub fn response(call: &ApiCall, result: &Value) -> String {
    let operation = &call.operation;
    let mut xml = format!("<{operation}Response xmlns=\"{}\">", namespace(&call.service));
    if !result.is_null() {
        element(&mut xml, &format!("{operation}Result"), result);
    }
    xml.push_str("<ResponseMetadata><RequestId>");
    xml.push_str(&call.request_id);
    xml.push_str("</RequestId></ResponseMetadata></");
    xml.push_str(operation);
    xml.push_str("Response>");
    xml
}

/// The whole answer to a query operation that failed.
pub fn error(service: &str, request_id: &str, error: &AwsError) -> String {
    let mut xml = format!("<ErrorResponse xmlns=\"{}\">", namespace(service));
    let kind = if error.status < 500 { "Sender" } else { "Receiver" };
    element(
        &mut xml,
        "Error",
        &json!({"Type": kind, "Code": error.code, "Message": error.message}),
    );
    element(&mut xml, "RequestId", &json!(request_id));
    xml.push_str("</ErrorResponse>");
    xml
}

fn namespace(service: &str) -> &'static str {
    match service {
        "sns" => "http://sns.amazonaws.com/doc/2010-03-31/",
        "sts" => "https://sts.amazonaws.com/doc/2011-06-15/",
        _ => "https://iam.amazonaws.com/doc/2010-05-08/",
    }
}

fn element(xml: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        return;
    }
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
    content(xml, value);
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

fn content(xml: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => xml.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => xml.push_str(&number.to_string()),
        Value::String(text) => xml.push_str(&clean(text)),
        Value::Array(items) => items.iter().for_each(|item| element(xml, "member", item)),
        Value::Object(members) => match members.get(ENTRIES).and_then(Value::as_array) {
            Some(pairs) => pairs.iter().for_each(|pair| {
                element(xml, "entry", &json!({"key": pair[0], "value": pair[1]}));
            }),
            None => members.iter().for_each(|(name, member)| element(xml, name, member)),
        },
    }
}

/// Escaped, and without the characters that XML 1.0 cannot carry.
fn clean(text: &str) -> String {
    let legal =
        |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let text: String = text.chars().filter(legal).collect();
    escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_elements() {
        let mut xml = String::new();
        element(
            &mut xml,
            "R",
            &json!({"A": "a<b\r", "L": ["x"], "M": map([("k", "v")]), "N": null, "B": true}),
        );
        assert_eq!(
            xml,
            "<R><A>a&lt;b&#13;</A><B>true</B><L><member>x</member></L>\
             <M><entry><key>k</key><value>v</value></entry></M></R>"
        );
    }
}
