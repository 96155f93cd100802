//! What is authorised is what is carried out, whatever else a request names.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Map, Value, json};

use super::fuzz::seeds::{Names, Seed, seeds};
use super::{Here, TRUST};
use crate::local::keys::Key;
use crate::local::{REGION, gateway, signature};

const SECRET: &str = "never to be told";

/// A request before it is signed.
#[derive(Debug, Clone)]
struct Asked {
    service: &'static str,
    /// Method and path.
    line: String,
    target: String,
    fields: Map<String, Value>,
}

impl Asked {
    fn new(service: &'static str, what: &str, fields: &Value) -> Self {
        let (line, target) = if what.contains(' ') { (what, "") } else { ("POST /", what) };
        let fields = fields.as_object().cloned().unwrap_or_default();
        Self { service, line: line.to_owned(), target: target.to_owned(), fields }
    }

    fn of(seed: &Seed) -> Self {
        let fields = if is_form(seed.service) {
            let pairs = form_urlencoded::parse(seed.body.as_bytes()).into_owned();
            pairs.map(|(name, value)| (name, Value::String(value))).collect()
        } else {
            serde_json::from_str(&seed.body).unwrap_or_default()
        };
        let (line, target) = (seed.line.clone(), seed.target.to_owned());
        Self { service: seed.service, line, target, fields }
    }

    /// The operation; of REST services, method and path.
    fn what(&self) -> String {
        match self.fields.get("Action").filter(|_| is_form(self.service)) {
            Some(action) => action.as_str().unwrap().to_owned(),
            None if self.target.is_empty() => self.line.clone(),
            None => self.target.split('.').nth(1).unwrap().to_owned(),
        }
    }

    fn is_rest(&self) -> bool {
        matches!(self.service, "lambda" | "apigateway")
    }

    fn body(&self) -> String {
        if !is_form(self.service) {
            return Value::Object(self.fields.clone()).to_string();
        }
        let pairs = self.fields.iter().map(|(name, value)| (name, value.as_str().unwrap()));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

fn is_form(service: &str) -> bool {
    matches!(service, "iam" | "sns" | "sts")
}

/// The answer to a request by a function with this role, or else by the cloud's owner.
async fn ask(here: &Here, role: Option<&str>, asked: &Asked) -> (u16, String) {
    let cloud = here.server.cloud().clone();
    let (method, path) = asked.line.split_once(' ').unwrap();
    let kind = if is_form(asked.service) {
        "application/x-www-form-urlencoded"
    } else {
        "application/x-amz-json-1.1"
    };
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "127.0.0.1:1").header("content-type", kind);
    if !asked.target.is_empty() {
        request = request.header("x-amz-target", &asked.target);
    }
    let mut key = cloud.key.clone();
    if let Some(role) = role {
        let session = cloud.sessions.issue(role, "f");
        request = request.header("x-amz-security-token", session.session_token);
        let (access_key_id, secret_access_key) = (session.access_key_id, session.secret_access_key);
        key = Key { access_key_id, secret_access_key };
    }
    let body = asked.body();
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    signature::sign(&mut parts, body.as_bytes(), &key, (REGION, asked.service)).unwrap();
    let request = Request::from_parts(parts, Body::from(body));
    let answer = gateway::entry(&cloud, "127.0.0.1:5".parse().unwrap(), request).await;
    let status = answer.status().as_u16();
    let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8_lossy(&text).into_owned())
}

/// Two of everything: the function's own, and somebody else's.
struct World {
    here: Here,
    names: Names,
    /// The other API's id.
    api: String,
    /// The other topic's subscription, the other table's stream, and an iterator of that.
    subscription: String,
    stream: String,
    iterator: String,
}

impl World {
    async fn new() -> Self {
        let (mut names, mut others) = (Names::default(), Names::default());
        let here = Here::start();
        restore(&here, &mut names).await;
        let zip = seeds(&names).iter().find(|seed| seed.line == "POST /2015-03-31/functions").map(
            |seed| serde_json::from_str::<Value>(&seed.body).unwrap()["Code"]["ZipFile"].clone(),
        );
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:foreign";
        let allow = json!({"Statement": {"Effect": "Allow", "Action": "sns:Publish",
            "Resource": format!("arn:aws:sns:*:*:{SECRET}")}})
        .to_string();
        let item = json!({"word": {"S": "a"}, "v": {"S": SECRET}});
        let table = json!({"TableName": "foreign", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "word", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "word", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}});
        let event = json!({"timestamp": crate::local::clock::now_ms(), "message": SECRET});
        let line = "POST /";
        let made = [
            (
                "logs",
                "L.CreateLogGroup",
                json!({"logGroupName": "/foreign", "tags": {"a": SECRET}}),
            ),
            (
                "logs",
                "L.CreateLogStream",
                json!({"logGroupName": "/foreign", "logStreamName": "s"}),
            ),
            (
                "logs",
                "L.PutLogEvents",
                json!({
                "logGroupName": "/foreign", "logStreamName": "s", "logEvents": [event]}),
            ),
            (
                "sns",
                line,
                json!({"Action": "CreateTopic", "Name": "foreign",
                "Tags.member.1.Key": "a", "Tags.member.1.Value": SECRET}),
            ),
            (
                "sns",
                line,
                json!({"Action": "Subscribe", "Protocol": "lambda", "Endpoint": arn,
                "TopicArn": "arn:aws:sns:us-east-1:000000000000:foreign"}),
            ),
            (
                "iam",
                line,
                json!({"Action": "CreateRole", "RoleName": "foreign",
                "AssumeRolePolicyDocument": TRUST, "Description": SECRET}),
            ),
            (
                "iam",
                line,
                json!({"Action": "PutRolePolicy", "RoleName": "foreign",
                "PolicyName": "p", "PolicyDocument": allow}),
            ),
            (
                "iam",
                line,
                json!({"Action": "CreatePolicy", "PolicyName": "foreign",
                "PolicyDocument": allow}),
            ),
            (
                "lambda",
                "POST /2015-03-31/functions",
                json!({"FunctionName": "foreign",
                "Code": {"ZipFile": zip}, "Handler": "bootstrap", "Runtime": "provided.al2023",
                "Role": "arn:aws:iam::000000000000:role/foreign", "Description": SECRET}),
            ),
            ("dynamodb", "D.CreateTable", table),
            ("dynamodb", "D.PutItem", json!({"TableName": "foreign", "Item": item})),
            (
                "apigateway",
                "POST /v2/apis",
                json!({"name": "foreign", "protocolType": "HTTP",
                "description": SECRET}),
            ),
        ];
        for (service, what, fields) in made {
            let (status, text) = ask(&here, None, &Asked::new(service, what, &fields)).await;
            assert!(status < 300, "{what} {fields}: {text}");
            others.learn(text.as_bytes());
        }
        let api = others.api.clone();
        let stage = json!({"stageName": "$default", "autoDeploy": true});
        let stage = Asked::new("apigateway", &format!("POST /v2/apis/{api}/stages"), &stage);
        let (status, text) = ask(&here, None, &stage).await;
        assert_eq!(status, 201, "{text}");
        for (what, fields) in [
            ("D.DescribeStream", json!({"StreamArn": others.stream})),
            (
                "D.GetShardIterator",
                json!({"StreamArn": others.stream, "ShardId": "$SHARD",
                "ShardIteratorType": "TRIM_HORIZON"}),
            ),
        ] {
            let fields = others.fill_in(&fields.to_string());
            let fields = serde_json::from_str(&fields).unwrap();
            let (status, text) = ask(&here, None, &Asked::new("dynamodb", what, &fields)).await;
            assert_eq!(status, 200, "{text}");
            others.learn(text.as_bytes());
        }
        let Names { subscription, stream, iterator, .. } = others;
        let world = Self { here, names, api, subscription, stream, iterator };
        world.roles().await;
        world
    }

    /// `mine` may do everything with what is its own, `but` everything but with what is not.
    async fn roles(&self) {
        let of = |foreign: bool| -> Vec<String> {
            let own = |own: &'static str, other: &'static str| if foreign { other } else { own };
            let api = if foreign { &self.api } else { &self.names.api };
            let group = own("/aws/lambda/f", "/foreign");
            let (role, table) = (own("p/r", "foreign"), own("table", "foreign"));
            let (topic, name) = (own("t", "foreign"), own("f", "foreign"));
            let policy = own("own", "foreign");
            [
                format!("logs:us-east-1:000000000000:log-group:{group}"),
                format!("logs:us-east-1:000000000000:log-group:{group}:*"),
                format!("sns:us-east-1:000000000000:{topic}"),
                format!("sns:us-east-1:000000000000:{topic}:*"),
                format!("iam::000000000000:role/{role}"),
                format!("iam::000000000000:policy/{policy}"),
                format!("lambda:us-east-1:000000000000:function:{name}"),
                format!("dynamodb:us-east-1:000000000000:table/{table}"),
                format!("dynamodb:us-east-1:000000000000:table/{table}/*"),
                format!("apigateway:us-east-1::/apis/{api}"),
                format!("apigateway:us-east-1::/apis/{api}/*"),
                format!("apigateway:us-east-1::/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapis%2F{api}*"),
            ]
            .map(|resource| format!("arn:aws:{resource}"))
            .into()
        };
        let mine = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": of(false)}});
        let but = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "*", "Resource": of(true)}]});
        for (role, policy) in [("mine", mine), ("but", but)] {
            super::create_role(&self.here.operator(), role, policy).await;
        }
    }

    /// All that is somebody else's, as it is.
    async fn foreign(&self) -> Vec<String> {
        let mut found = self.here.server.cloud().store.read(|db| {
            let mut found = Vec::new();
            for query in [
                "SELECT kind || ' ' || name || ' ' || body FROM document
                 WHERE name LIKE '%foreign%' OR name = ?1",
                "SELECT name || ' ' || message FROM log_stream s LEFT JOIN log_event e
                 ON e.stream = s.id WHERE log_group = '/foreign' AND ?1 != ''",
            ] {
                let mut statement = db.conn().prepare(query)?;
                let rows = statement.query_map([&self.api], |row| row.get::<_, String>(0))?;
                found.extend(rows.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(found)
        });
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/foreign";
        for (operation, fields) in [
            ("D.Scan", json!({"TableName": "foreign"})),
            ("D.DescribeTable", json!({"TableName": "foreign"})),
            ("D.DescribeTimeToLive", json!({"TableName": "foreign"})),
            ("D.ListTagsOfResource", json!({"ResourceArn": arn})),
        ] {
            let asked = Asked::new("dynamodb", operation, &fields);
            let text = ask(&self.here, None, &asked).await.1;
            // Members come in any order.
            let answer: Value = serde_json::from_str(&text).unwrap();
            found.as_mut().unwrap().push(answer.to_string());
        }
        found.unwrap()
    }

    /// The members of a service's requests that name what they may be about, with the function's own
    /// and with somebody else's.
    fn naming(&self, asked: &Asked) -> Vec<(&'static str, Value, Value)> {
        let arn = |rest: &str| json!(format!("arn:aws:{rest}"));
        let texts = |member, own: &str, other: &str| (member, json!(own), json!(other));
        let arns = |member, start: &str, own: &str, other: &str| {
            (member, arn(&format!("{start}{own}")), arn(&format!("{start}{other}")))
        };
        match asked.service {
            "logs" => {
                let group = "logs:us-east-1:000000000000:log-group:";
                vec![
                    texts("logGroupName", "/aws/lambda/f", "/foreign"),
                    texts("logGroupIdentifier", "/aws/lambda/f", "/foreign"),
                    arns("resourceArn", group, "/aws/lambda/f", "/foreign"),
                ]
            }
            "sns" => {
                let topic = "sns:us-east-1:000000000000:";
                vec![
                    texts("Name", "t", "foreign"),
                    arns("TopicArn", topic, "t", "foreign"),
                    arns("TargetArn", topic, "t", "foreign"),
                    arns("ResourceArn", topic, "t", "foreign"),
                    texts("SubscriptionArn", &self.names.subscription, &self.subscription),
                ]
            }
            "iam" => {
                let mut all = vec![
                    texts("RoleName", "r", "foreign"),
                    arns("PolicyArn", "iam::000000000000:policy/", "own", "foreign"),
                ];
                // Else it is a policy of a role.
                if asked.what() == "CreatePolicy" {
                    all.push(texts("PolicyName", "own", "foreign"));
                }
                all
            }
            "lambda" => vec![
                texts("FunctionName", "f", "foreign"),
                arns("Resource", "lambda:us-east-1:000000000000:function:", "f", "foreign"),
            ],
            "apigateway" => vec![
                texts("ApiId", &self.names.api, &self.api),
                texts("apiId", &self.names.api, &self.api),
            ],
            "dynamodb" => {
                let table = "dynamodb:us-east-1:000000000000:table/";
                let mut all = vec![
                    texts("TableName", "table", "foreign"),
                    arns("ResourceArn", table, "table", "foreign"),
                    texts("StreamArn", &self.names.stream, &self.stream),
                    texts("ShardIterator", &self.names.iterator, &self.iterator),
                ];
                let statement = json!({"Statement": "SELECT * FROM \"table\" WHERE word = 'a'"});
                let get = json!([{"Get": {"TableName": "table", "Key": {"word": {"S": "a"}}}}]);
                for (member, default) in [
                    ("Statement", statement["Statement"].clone()),
                    ("Statements", json!([statement])),
                    ("TransactStatements", json!([statement])),
                    ("TransactItems", get),
                    ("RequestItems", json!({"table": {"Keys": [{"word": {"S": "a"}}]}})),
                ] {
                    let own = asked.fields.get(member).cloned().unwrap_or(default);
                    let other = own.to_string().replace("table/table", "table/foreign");
                    let other = other.replace("\"table\"", "\"foreign\"");
                    let other = other.replace("\\\"table\\\"", "\\\"foreign\\\"");
                    all.push((member, own, serde_json::from_str(&other).unwrap()));
                }
                all
            }
            _ => Vec::new(),
        }
    }

    /// The requests of one operation that name in one place what is `own`, or is not, and everywhere
    /// else the other; and how the caller spelled it.
    fn variants(&self, seed: &Asked, own: bool) -> Vec<Asked> {
        let naming = self.naming(seed);
        let with = |chosen: Option<&str>| {
            let mut asked = seed.clone();
            for (member, mine, other) in &naming {
                let value = if (chosen == Some(member)) == own { mine } else { other };
                asked.fields.insert((*member).to_owned(), value.clone());
            }
            asked
        };
        let mut all: Vec<Asked> = naming.iter().map(|(member, ..)| with(Some(member))).collect();
        if seed.service == "logs" {
            // Where two members are one too many.
            for member in ["logGroupName", "logGroupIdentifier"] {
                all.extend(all.clone().into_iter().map(|mut asked| {
                    asked.fields.remove(member);
                    asked
                }));
            }
        }
        if !seed.is_rest() {
            return all;
        }
        // What the path names, written in several ways.
        let asked = with(None);
        let lines = if own {
            vec![seed.line.clone()]
        } else {
            let (method, path) = seed.line.split_once(' ').unwrap();
            let (plain, sign) =
                (&self.api, format!("%{:02x}{}", self.api.as_bytes()[0], &self.api[1..]));
            let to = |api: &str, name: &str| {
                let path = path.replace(&self.names.api, api);
                let path = path.replace("functions/f", &format!("functions/{name}"));
                format!("{method} {}", path.replace("%3Af", &format!("%3A{name}")))
            };
            let partial = "000000000000:function:foreign";
            vec![
                to(plain, "foreign"),
                to(&sign, "%66oreign"),
                to(
                    &sign.to_uppercase().replace(&self.api[1..].to_uppercase(), &self.api[1..]),
                    partial,
                ),
                format!("{}/", to(plain, "foreign%3A%24LATEST")),
            ]
        };
        all.extend(lines.into_iter().map(|line| Asked { line, ..asked.clone() }));
        all
    }
}

/// Makes everything anew that the seeds speak of; what is there stays.
async fn restore(here: &Here, names: &mut Names) {
    let has_api = names.api != "none";
    for index in 0..seeds(names).len() {
        let asked = Asked::of(&seeds(names)[index]);
        let deletes = asked.line.starts_with("DELETE") || asked.what().starts_with("Delete");
        let outside = !["GET /_", "POST /v2/apis"]
            .iter()
            .all(|start| !(asked.line.starts_with("GET /_") || (has_api && asked.line == *start)));
        if !deletes && !outside && asked.what() != "Unsubscribe" {
            names.learn(ask(here, None, &asked).await.1.as_bytes());
        }
    }
}

fn denied(text: &str) -> bool {
    text.contains("not authorized to perform")
}

/// Each operation, with each member that may name anything naming what the function may touch while
/// all others name what it may not, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn no_operation_acts_on_what_was_not_authorised() {
    let mut world = World::new().await;
    let before = world.foreign().await;
    let mut wrong = Vec::new();
    for index in 0..seeds(&world.names).len() {
        let seed = Asked::of(&seeds(&world.names)[index]);
        if matches!(seed.service, "advent" | "sts") || seed.line.starts_with("GET /_") {
            continue;
        }
        let what = seed.what();
        let naming = world.naming(&seed);
        let about_one = naming.iter().any(|(member, ..)| seed.fields.contains_key(*member))
            || ["functions/f", "%3Af", &world.names.api].iter().any(|own| seed.line.contains(own));
        let mut let_in = Vec::new();
        for asked in world.variants(&seed, true) {
            let (status, text) = ask(&world.here, Some("mine"), &asked).await;
            let told = text.contains(SECRET) || (status < 300 && text.contains("foreign"));
            let changed = world.foreign().await != before;
            if told || changed {
                wrong.push(format!("mine, told {told}, changed {changed}: {asked:?}: {text}"));
            }
            if !denied(&text) {
                let_in.push((asked, text));
            }
        }
        if about_one == let_in.is_empty() {
            wrong.push(format!("mine, {what} is about one {about_one}, and yet: {let_in:?}"));
        }
        for asked in world.variants(&seed, false).into_iter().filter(|_| about_one) {
            let (_, text) = ask(&world.here, Some("but"), &asked).await;
            let (told, changed) = (text.contains(SECRET), world.foreign().await != before);
            if told || changed {
                wrong.push(format!("but, told {told}, changed {changed}: {asked:?}: {text}"));
            }
        }
        if ["DELETE", "Delete", "Unsubscribe"].iter().any(|start| what.starts_with(start)) {
            let World { here, names, .. } = &mut world;
            restore(here, names).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
