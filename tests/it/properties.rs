//! Every property that AWS's service models show is ours, watched or ignored, and is treated so.

use std::fmt::Write as _;
use std::sync::Arc;

use advent::resources::LOOKS;
use advent::resources::watch::{Look, Property, Treatment, Usual};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::support::models::{Member, Models};
use crate::support::proxy::{Answer, Fault, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

const BY_HAND: &str = "by-hand";
/// Statements of a resource policy are in no model.
const STATEMENT: [&str; 5] =
    ["Sid", "Effect", "Principal.Service", "Action", "Condition.StringEquals.AWS:SourceAccount"];

fn members(models: &mut Models, look: &Look) -> Vec<Member> {
    if look.root.starts_with("Policy") {
        let member = |path: &&str| Member {
            path: (*path).to_owned(),
            kind: "string".to_owned(),
            values: Vec::new(),
        };
        return STATEMENT.iter().map(member).collect();
    }
    let (service, operation) = look.call.split_once(':').expect("service:Operation");
    let all = models.members(service, operation, look.root);
    // Where the next page begins is no property.
    let page = ["NextToken", "nextToken", "NextMarker", "Marker", "IsTruncated"];
    all.into_iter().filter(|member| !page.contains(&member.path.as_str())).collect()
}

/// Another value of the member's type than it has.
fn other(member: &Member, property: &Property, now: &Value) -> Value {
    let usual: &[&str] = match property.treatment {
        Treatment::Watched(Usual::Any(usual)) => usual,
        _ => &[],
    };
    let taken = |value: &&String| now == value.as_str() || usual.contains(&value.as_str());
    match member.kind.as_str() {
        "string" => match member.values.iter().find(|value| !taken(value)) {
            Some(value) => json!(value),
            None => json!(BY_HAND),
        },
        "boolean" => json!(!now.as_bool().unwrap_or_default()),
        "integer" | "long" => json!(now.as_i64().unwrap_or(6) + 1),
        "double" | "float" => json!(now.as_f64().unwrap_or(6.0) + 1.0),
        "timestamp" => match now {
            Value::String(_) => json!("2020-02-02T02:02:02Z"),
            _ => json!(1_580_608_922),
        },
        // One that has an entry.
        "map" => serde_json::from_str(&member.values[0]).expect("an example in JSON"),
        kind => panic!("{} is a {kind}", member.path),
    }
}

/// Sets a member of a part of an answer. Lists are given the one entry that is changed.
fn set(part: &mut Value, path: &str, member: &Member, property: &Property) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let list = name.ends_with("[]");
    let slot = &mut part[name.trim_end_matches("[]")];
    let slot = if list {
        if slot.as_array().is_none_or(Vec::is_empty) {
            *slot = json!([null]);
        }
        &mut slot[0]
    } else {
        slot
    };
    match rest {
        Some(rest) => set(slot, rest, member, property),
        None => *slot = other(member, property, slot),
    }
}

/// The part of an answer that is about what the small project has.
fn part<'a>(body: &'a mut Value, root: &str) -> &'a mut Value {
    if root.is_empty() {
        return body;
    }
    let Some(list) = root.strip_suffix("[]") else { return &mut body[root] };
    let items = body[list].as_array_mut().expect("a list");
    if items.is_empty() {
        items.push(json!({}));
    }
    let ours = |item: &Value| item["logGroupName"] == "/aws/lambda/small-front";
    let index = items.iter().position(ours).unwrap_or_default();
    &mut items[index]
}

fn in_json(answer: Answer, look: &Look, member: &Member, property: &Property) -> Answer {
    let none = answer.status != 200 && look.call == "dynamodb:GetResourcePolicy";
    let answer = match none {
        // How DynamoDB says that there is no policy.
        true => Answer { status: StatusCode::OK, body: Bytes::from("{}"), ..answer },
        false if answer.status != 200 => return answer,
        false => answer,
    };
    let mut body: Value = serde_json::from_slice(&answer.body).expect("an answer in JSON");
    if let Some(root) = look.root.strip_prefix("Policy.") {
        let text = body["Policy"].as_str().expect("a policy");
        let mut policy: Value = serde_json::from_str(text).expect("a policy in JSON");
        set(part(&mut policy, root), &member.path, member, property);
        body["Policy"] = policy.to_string().into();
    } else {
        set(part(&mut body, look.root), &member.path, member, property);
    }
    Answer { body: Bytes::from(body.to_string()), ..answer }
}

/// The text between `<name>` and `</name>` replaced, or put at the end of `parent`.
fn element(text: &str, parent: &str, name: &str, value: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let new = format!("{open}{value}{close}");
    let inside = text.find(&format!("<{parent}>")).unwrap_or_default();
    if let Some(at) = text[inside..].find(&open).map(|at| at + inside)
        && let Some(end) = text[at..].find(&close).map(|end| at + end + close.len())
    {
        return format!("{}{new}{}", &text[..at], &text[end..]);
    }
    let empty = format!("<{parent}/>");
    if text.contains(&empty) {
        return text.replace(&empty, &format!("<{parent}>{new}</{parent}>"));
    }
    let end = format!("</{parent}>");
    assert!(text.contains(&end), "no {parent} in {text}");
    text.replacen(&end, &format!("{new}{end}"), 1)
}

fn in_xml(answer: Answer, look: &Look, member: &Member, property: &Property) -> Answer {
    if answer.status != 200 {
        return answer;
    }
    let text = String::from_utf8(answer.body.to_vec()).expect("an answer in UTF-8");
    let value = match other(member, property, &json!("")) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let body = if look.root == "Attributes" {
        let key = format!("<key>{}</key>", member.path);
        match text.find(&key) {
            Some(at) => format!("{}{}", &text[..at], element(&text[at..], "", "value", &value)),
            None => element(&text, "Attributes", "entry", &format!("{key}<value>{value}</value>")),
        }
    } else {
        let path: Vec<_> = member.path.split('.').collect();
        let (leaf, above) = path.split_last().expect("a path");
        let inner = format!("<{leaf}>{value}</{leaf}>");
        match (look.root.strip_suffix("[]"), above) {
            (Some(list), _) => {
                let all = format!("<PolicyName>n</PolicyName><PolicyArn>a</PolicyArn>{inner}");
                element(&text, list, "member", &all)
            }
            (None, []) if !look.root.is_empty() => element(&text, look.root, leaf, &value),
            (None, []) => element(&text, &format!("{}Result", operation(look)), leaf, &value),
            (None, above) => element(&text, look.root, &above.join("."), &inner),
        }
    };
    Answer { body: Bytes::from(body), ..answer }
}

fn operation(look: &Look) -> &'static str {
    look.call.split_once(':').expect("service:Operation").1
}

/// What `status` says of all resources, as one text each for drift and for what is watched.
fn says(status: &Value, list: &str, name: &str) -> Vec<String> {
    let all = status["resources"].as_array().expect("resources").iter();
    let entries = all.flat_map(|resource| resource[list].as_array().expect("a list"));
    entries.map(|entry| entry[name].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn every_property_of_every_answer_is_ours_watched_or_ignored() {
    let Some(python) = python() else { return };
    let mut models = Models::start(python);
    let mut missing = Vec::new();
    for (kind, looks) in LOOKS {
        for look in looks {
            let members = members(&mut models, look);
            assert!(!members.is_empty(), "{} has nothing at {:?}", look.call, look.root);
            let unknown = members.iter().filter(|member| look.of(&member.path).is_none());
            missing.extend(unknown.map(|member| format!("{kind}: {} {}", look.call, member.path)));
        }
    }
    assert!(missing.is_empty(), "nothing is said of: {missing:#?}");
}

#[test]
fn every_property_is_treated_as_is_said_of_it() {
    let Some(python) = python() else { return };
    let mut models = Models::start(python);
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.cli.ok(["status"]).json();
    assert_eq!((&clean["in_sync"], &clean["watched"]), (&json!(true), &json!(0)), "{clean:#}");
    let mut wrong = String::new();
    let mut tried = 0;
    for (kind, looks) in LOOKS {
        for look in looks {
            let (service, operation) = look.call.split_once(':').expect("service:Operation");
            let xml = matches!(service, "iam" | "sns");
            for member in members(&mut models, look) {
                let property = *look.of(&member.path).expect("something is said of each");
                let skipped = match property.treatment {
                    Treatment::Identity => true,
                    // Without ours it is somebody else's (`accounts`, `strangers`).
                    Treatment::Ours(field) => field == "tag ",
                    _ => false,
                };
                // A policy's name alone has nothing in it; another test puts a whole one there. A
                // revision comes with its policy only.
                if skipped
                    || look.call == "iam:ListRolePolicies"
                    || look.call == "dynamodb:GetResourcePolicy" && member.path == "RevisionId"
                    || property.path == "Policy" && kind == "permission"
                {
                    continue;
                }
                let (look, changed) = (*look, member.clone());
                let edit = if xml { in_xml } else { in_json };
                let edit = move |answer| edit(answer, &look, &changed, &property);
                rig.proxy.inject(Rule::operation(service, operation, Fault::Edit(Arc::new(edit))));
                let run = rig.cli.run(["status"]);
                rig.proxy.heal();
                tried += 1;
                if run.code != Some(0) {
                    writeln!(wrong, "{kind}: {} {}: {}", look.call, member.path, run.stdout)
                        .expect("a line");
                    continue;
                }
                let status = run.json();
                let drift = says(&status, "changes", "field");
                let watched = says(&status, "watched", "property");
                let right = match property.treatment {
                    Treatment::Ours(field) => {
                        status["in_sync"] == false && drift.iter().any(|it| it.starts_with(field))
                    }
                    Treatment::Watched(_) => {
                        drift.is_empty()
                            && status["in_sync"] == true
                            && watched.iter().any(|it| it.ends_with(property.path))
                    }
                    Treatment::Ignored | Treatment::Identity => {
                        drift.is_empty() && watched.is_empty() && status["in_sync"] == true
                    }
                };
                if !right {
                    let line = format!(
                        "{kind}: {} {}: {:?}, but status says {drift:?} {watched:?}",
                        look.call, member.path, property.treatment
                    );
                    writeln!(wrong, "{line}").expect("a line");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {tried}:\n{wrong}");
    assert!(tried > 200, "only {tried} were tried");
    rig.cli.ok(["down"]);
}

/// The table of `docs/drift.md`.
fn table() -> String {
    let mut text = String::new();
    for (kind, looks) in LOOKS {
        write!(text, "\n## {kind}\n").expect("a line");
        for look in looks {
            let root =
                if look.root.is_empty() { String::new() } else { format!(", `{}`", look.root) };
            let head = "| property | what is done | why |\n|---|---|---|";
            write!(text, "\n`{}`{root}\n\n{head}\n", look.call).expect("a line");
            for property in look.properties {
                let (done, why) = (done(property), property.why);
                writeln!(text, "| `{}` | {done} | {why} |", property.path).expect("a line");
            }
        }
    }
    text
}

fn done(property: &Property) -> String {
    match property.treatment {
        Treatment::Ours(field) => format!("**ours**: `{}`", field.trim_end()),
        Treatment::Watched(usual) => {
            let usual = match usual {
                Usual::Absent | Usual::Nothing => "none".to_owned(),
                Usual::Any(values) => values.join(", "),
            };
            let alarm = property.alarm().map(|alarm| format!("; loud: {alarm}"));
            format!("**watched**, usually {usual}{}", alarm.unwrap_or_default())
        }
        Treatment::Ignored => "ignored".to_owned(),
        Treatment::Identity => "never differs".to_owned(),
    }
}

#[test]
fn the_documentation_says_what_is_done_about_each_property() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/drift.md");
    let text = std::fs::read_to_string(path).expect("docs/drift.md");
    let mark = "<!-- From here on as the code has it. -->\n";
    let (head, written) = text.split_once(mark).expect("the mark in docs/drift.md");
    let wanted = table();
    if written != wanted && std::env::var_os("ADVENT_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{head}{mark}{wanted}")).expect("docs/drift.md");
        return;
    }
    assert!(
        written == wanted,
        "docs/drift.md is not what the code says: run this test with ADVENT_WRITE_DOCS=1"
    );
}
