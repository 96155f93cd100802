//! The query protocol's flat parameters as nested JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A node of the dotted names, with the children in the order in which AWS numbers them.
#[derive(Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

/// `Tags.member.1.Key=a` becomes `{"Tags": [{"Key": "a"}]}`, `Attributes.entry.1.key=k` with
/// `.value=v` becomes `{"Attributes": {"k": "v"}}`. All leaves are texts.
pub fn nest<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut root = Node::default();
    for (name, value) in pairs {
        // A list or map that is sent empty is `Tags=`.
        let mut node = &mut root;
        for part in name.split('.').take(16) {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(value.to_owned());
    }
    object(&root)
}

fn object(node: &Node) -> Value {
    Value::Object(
        node.children.iter().map(|(name, child)| (name.clone(), convert(child))).collect(),
    )
}

fn convert(node: &Node) -> Value {
    if node.children.is_empty() {
        return Value::String(node.value.clone().unwrap_or_default());
    }
    if node.children.len() == 1 {
        if let Some(list) = node.children.get("member") {
            return Value::Array(numbered(list).into_iter().map(convert).collect());
        }
        if let Some(map) = node.children.get("entry") {
            return Value::Object(
                numbered(map).into_iter().filter_map(entry).collect::<Map<_, _>>(),
            );
        }
    }
    object(node)
}

fn numbered(node: &Node) -> Vec<&Node> {
    let mut items: Vec<(u32, &Node)> = node
        .children
        .iter()
        .filter_map(|(number, child)| Some((number.parse().ok()?, child)))
        .collect();
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, child)| child).collect()
}

fn entry(node: &Node) -> Option<(String, Value)> {
    let child = |names: [&str; 2]| names.iter().find_map(|name| node.children.get(*name));
    let key = child(["key", "Name"])?.value.clone()?;
    Some((key, child(["value", "Value"]).map_or(Value::Null, convert)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_maps_are_nested() {
        let pairs = [
            ("Name", "t"),
            ("Tags.member.10.Key", "j"),
            ("Tags.member.2.Key", "b"),
            ("Tags.member.1.Key", "a"),
            ("Tags.member.1.Value", "1"),
            ("Attributes.entry.1.key", "DisplayName"),
            ("Attributes.entry.1.value", "d"),
            ("MessageAttributes.entry.1.Name", "m"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
        ];
        assert_eq!(
            nest(pairs),
            json!({
                "Name": "t",
                "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b"}, {"Key": "j"}],
                "Attributes": {"DisplayName": "d"},
                "MessageAttributes": {"m": {"DataType": "String"}},
            })
        );
    }
}
