//! Two of everything, and requests that name now the one and now the other.

use serde_json::{Value, json};

use super::super::fuzz::seeds::{Names, seeds};
use super::super::{Here, TRUST, create_role};
use super::{Asked, SECRET, ask};

/// Two of everything: the function's own, and somebody else's.
pub struct World {
    pub here: Here,
    pub names: Names,
    /// The other API's id.
    api: String,
    /// The other topic's subscription, the other table's stream, and an iterator of that.
    subscription: String,
    stream: String,
    iterator: String,
}

/// What makes that which is somebody else's, in order.
fn others_things() -> Vec<(&'static str, &'static str, Value)> {
    let zip = seeds(&Names::default())
        .iter()
        .find(|seed| seed.line == "POST /2015-03-31/functions")
        .map(|seed| serde_json::from_str::<Value>(&seed.body).unwrap()["Code"]["ZipFile"].clone());
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
    vec![
        ("logs", "L.CreateLogGroup", json!({"logGroupName": "/foreign", "tags": {"a": SECRET}})),
        ("logs", "L.CreateLogStream", json!({"logGroupName": "/foreign", "logStreamName": "s"})),
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
    ]
}

impl World {
    pub async fn new() -> Self {
        let (mut names, mut others) = (Names::default(), Names::default());
        let here = Here::start();
        restore(&here, &mut names).await;
        for (service, what, fields) in others_things() {
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
            // Under any path.
            let (role, table) = (own("p/r", "*foreign"), own("table", "foreign"));
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
            create_role(&self.here.operator(), role, policy).await;
        }
    }

    /// All that is somebody else's, as it is.
    pub async fn foreign(&self) -> Vec<String> {
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
    pub fn naming(&self, asked: &Asked) -> Vec<(&'static str, Value, Value)> {
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
    pub fn variants(&self, seed: &Asked, own: bool) -> Vec<Asked> {
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
                format!(
                    "{method} {}",
                    path.replace(
                        "function%3Af",
                        &format!("function%3A{}", name.rsplit(':').next().unwrap())
                    )
                )
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
pub async fn restore(here: &Here, names: &mut Names) {
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
