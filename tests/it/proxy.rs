//! The fault proxy does what it promises: counted, delayed and broken requests between boto3 and moto.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http;
use crate::support::proxy::{Answer, Fault, Imitation, Proxy, Rate, Rule};
use crate::support::python::{Boto, python};
use crate::support::world::World;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

fn table(name: &str) -> Value {
    json!({
        "TableName": name,
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

fn function(name: &str, role: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": format!("arn:aws:iam::123456789012:role/{role}"),
        "Code": { "ZipFile": { "base64": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" } },
    })
}

fn role(boto: &Boto<'_>, name: &str) {
    boto.call("iam", "create_role", json!({ "RoleName": name, "AssumeRolePolicyDocument": TRUST }));
}

#[test]
fn every_operation_is_named_and_a_write_known_as_such() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);

    let topic = boto.call("sns", "create_topic", json!({ "Name": "news" }));
    let topic = topic["TopicArn"].as_str().expect("an ARN");
    boto.call("dynamodb", "create_table", table("items"));
    role(&boto, "worker");
    boto.call("iam", "get_role", json!({ "RoleName": "worker" }));
    boto.call("lambda", "create_function", function("back", "worker"));
    boto.call("lambda", "get_function", json!({ "FunctionName": "back" }));
    let permission = json!({
        "FunctionName": "back", "StatementId": "s", "Action": "lambda:InvokeFunction",
        "Principal": "sns.amazonaws.com", "SourceArn": topic,
    });
    boto.call("lambda", "add_permission", permission);
    let endpoint = "arn:aws:lambda:us-east-1:123456789012:function:back";
    let subscription = json!({ "TopicArn": topic, "Protocol": "lambda", "Endpoint": endpoint });
    boto.call("sns", "subscribe", subscription);
    boto.call("logs", "create_log_group", json!({ "logGroupName": "/aws/lambda/back" }));
    let api =
        boto.call("apigatewayv2", "create_api", json!({ "Name": "web", "ProtocolType": "HTTP" }));
    let api = api["ApiId"].as_str().expect("an id");
    boto.call("apigatewayv2", "get_routes", json!({ "ApiId": api }));
    boto.call("apigatewayv2", "create_route", json!({ "ApiId": api, "RouteKey": "ANY /x" }));
    boto.call("sts", "get_caller_identity", json!({}));

    let records = proxy.take();
    let seen: Vec<String> = records
        .0
        .iter()
        .map(|record| {
            let operation = &record.operation;
            format!("{}:{} {}", operation.service, operation.name, operation.subject)
        })
        .collect();
    let expected = [
        "sns:CreateTopic news".to_owned(),
        "dynamodb:CreateTable items".into(),
        "iam:CreateRole worker".into(),
        "iam:GetRole worker".into(),
        "lambda:CreateFunction back".into(),
        "lambda:GetFunction back".into(),
        "lambda:AddPermission back".into(),
        "sns:Subscribe news".into(),
        "logs:CreateLogGroup /aws/lambda/back".into(),
        "apigateway:CreateApi web".into(),
        format!("apigateway:GetRoutes {api}"),
        format!("apigateway:CreateRoute {api}"),
        "sts:GetCallerIdentity ".into(),
    ];
    assert_eq!(seen, expected);
    assert_eq!(records.mutating().len(), 9, "{records}");
    assert_eq!(records.chain().len(), records.len(), "boto3 makes one call after another");
    assert!(
        records.0.iter().all(|record| record.status == Some(200) || record.status == Some(201))
    );
    assert!(records.0.iter().all(|record| record.operation.access_key == "test"));
    assert_eq!(proxy.take().len(), 0, "records are handed over once");

    let world = World::read(&Boto::new(python, &moto.url));
    assert_eq!(
        world.summary(),
        "1 tables, 1 topics, 1 roles, 1 functions, 1 log_groups, 1 apis"
            .split(", ")
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ")
    );
    let subscriptions = &world.0["topics"][topic]["subscriptions"];
    assert_eq!(subscriptions[0]["Endpoint"], endpoint);
    boto.call(
        "logs",
        "put_retention_policy",
        json!({
            "logGroupName": "/aws/lambda/back", "retentionInDays": 7
        }),
    );
    let changed = World::read(&Boto::new(python, &moto.url));
    assert_eq!(world.difference(&changed), "/log_groups//aws/lambda/back/retention: null -> 7\n");
}

#[test]
fn the_chain_is_what_waits_for_one_another() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let delay = Duration::from_millis(300);
    // Three beside one another, then two in turn.
    proxy.delay(delay);
    let get = || http::get(&format!("{}/moto-api/data.json", proxy.url));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let first: Vec<_> = (0..3).map(|_| scope.spawn(get)).collect();
        for thread in first {
            thread.join().expect("no panic").expect("an answer");
        }
    });
    get().expect("an answer");
    get().expect("an answer");
    assert!(start.elapsed() >= 3 * delay);
    let records = proxy.take();
    assert_eq!((records.len(), records.chain().len()), (5, 3), "{records}");
}

#[test]
fn errors_speak_each_protocol() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let calls = [
        ("dynamodb", "list_tables", "ThrottlingException", "AccessDeniedException"),
        ("sns", "list_topics", "Throttling", "AuthorizationError"),
        ("iam", "list_roles", "Throttling", "AccessDenied"),
        ("lambda", "list_functions", "TooManyRequestsException", "AccessDeniedException"),
        ("logs", "describe_log_groups", "ThrottlingException", "AccessDeniedException"),
        ("apigatewayv2", "get_apis", "TooManyRequestsException", "AccessDeniedException"),
    ];
    let code =
        |service, method| boto.try_call(service, method, json!({})).expect_err("a fault").code;
    for (fault, pick) in [(Answer::throttled as fn(&_) -> _, 0), (Answer::denied as fn(&_) -> _, 1)]
    {
        proxy.heal();
        let rule = proxy.inject(Rule::any(Fault::Answer(fault)));
        for (service, method, throttled, denied) in calls {
            assert_eq!(code(service, method), [throttled, denied][pick], "{service}");
        }
        assert!(rule.struck() >= calls.len());
    }
    proxy.heal();
    proxy.inject(Rule::any(Fault::Error(503, "ServiceUnavailable", "later")));
    for (service, method, ..) in calls {
        assert_eq!(code(service, method), "ServiceUnavailable", "{service}");
    }
    proxy.heal();
    for (service, method, ..) in calls {
        boto.call(service, method, json!({}));
    }
}

#[test]
fn a_rule_strikes_only_what_it_names() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let error = Fault::Error(400, "Injected", "by the test");
    let rule = proxy.inject(Rule::operation("iam", "CreateRole", error).at(1));
    role(&boto, "a");
    boto.call("iam", "list_roles", json!({}));
    let second = json!({ "RoleName": "b", "AssumeRolePolicyDocument": TRUST });
    let failed = boto.try_call("iam", "create_role", second).expect_err("the second");
    assert_eq!((failed.code.as_str(), failed.message.as_str()), ("Injected", "by the test"));
    role(&boto, "c");
    assert_eq!(rule.struck(), 1);
    let world = World::read(&Boto::new(python, &moto.url));
    let roles: Vec<_> = world.0["roles"].as_object().expect("roles").keys().collect();
    assert_eq!(roles, ["a", "c"]);
}

#[test]
fn a_lost_request_leaves_nothing_and_a_lost_answer_something() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let direct = Boto::new(python, &moto.url);
    let topics = || direct.call("sns", "list_topics", json!({}))["Topics"].as_array().map(Vec::len);
    let create = || boto.try_call("sns", "create_topic", json!({ "Name": "news" }));
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let callback = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });

    for fault in [Fault::CutBefore(callback.clone()), Fault::Reset { applied: false }] {
        proxy.inject(Rule::mutating(fault));
        create().expect_err("no answer");
        assert_eq!(topics(), Some(0));
        proxy.heal();
    }
    for fault in [Fault::CutAfter(callback), Fault::Reset { applied: true }, Fault::Truncated] {
        proxy.inject(Rule::mutating(fault));
        create().expect_err("no answer");
        assert_eq!(topics(), Some(1));
        direct.call(
            "sns",
            "delete_topic",
            json!({
                "TopicArn": "arn:aws:sns:us-east-1:123456789012:news"
            }),
        );
        proxy.heal();
    }
    // boto3 may try once more.
    assert!(called.load(Ordering::SeqCst) >= 2);
}

#[test]
fn connections_end_as_asked() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let ask = || {
        let authority = proxy.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(authority).expect("the proxy listens");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let head = format!("GET /moto-api/data.json HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the proxy reads");
        let mut answer = [0; 64];
        stream.read(&mut answer)
    };
    assert!(ask().is_ok_and(|read| read > 0));
    proxy.inject(Rule::any(Fault::Reset { applied: false }).at(0));
    assert_eq!(ask().expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    proxy.heal();
    proxy.inject(Rule::any(Fault::lost_request()).at(0));
    assert_eq!(ask().expect("an orderly end"), 0);
    proxy.heal();
    proxy.inject(Rule::any(Fault::Stall { applied: true }));
    assert_eq!(ask().expect_err("no answer").kind(), ErrorKind::WouldBlock);
    proxy.heal();
    proxy.inject(Rule::any(Fault::Slow(Duration::from_millis(100))));
    let start = Instant::now();
    assert!(ask().is_ok_and(|read| read > 0));
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_duplicate_is_applied_twice() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    proxy.inject(Rule::mutating(Fault::Duplicate));
    boto.call("apigatewayv2", "create_api", json!({ "Name": "web", "ProtocolType": "HTTP" }));
    let twice = boto.try_call("dynamodb", "create_table", table("items")).expect_err("exists");
    assert_eq!(twice.code, "ResourceInUseException");
    let world = World::read(&Boto::new(python, &moto.url));
    assert_eq!(world.summary(), "2 apis, 1 tables");
}

#[test]
fn waits_are_imitated() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let wait = Duration::from_secs(2);
    proxy.imitate(Imitation {
        role_assumable: wait,
        table_creating: wait,
        table_deleting: wait,
        function_pending: wait,
        function_updating: wait,
        delete_conflicts: 1,
        ..Imitation::default()
    });

    let start = Instant::now();
    let status = |table: &Value| table["TableStatus"].as_str().unwrap_or_default().to_owned();
    let created = boto.call("dynamodb", "create_table", table("items"));
    assert_eq!(status(&created["TableDescription"]), "CREATING");
    let describe = || boto.try_call("dynamodb", "describe_table", json!({ "TableName": "items" }));
    assert_eq!(status(&describe().expect("the table")["Table"]), "CREATING");
    let delete = || boto.try_call("dynamodb", "delete_table", json!({ "TableName": "items" }));
    assert_eq!(delete().expect_err("busy").code, "ResourceInUseException");

    role(&boto, "worker");
    let create = || boto.try_call("lambda", "create_function", function("back", "worker"));
    let failed = create().expect_err("too early");
    assert_eq!(failed.code, "InvalidParameterValueException");
    assert!(start.elapsed() < wait, "this machine is too slow for this test");
    std::thread::sleep(wait);
    let created = create().expect("the role is assumable by now");
    assert_eq!(created["State"], "Pending");
    let get = || boto.call("lambda", "get_function", json!({ "FunctionName": "back" }));
    assert_eq!(get()["Configuration"]["State"], "Pending");
    let update = json!({ "FunctionName": "back", "Timeout": 9 });
    let change = || boto.try_call("lambda", "update_function_configuration", update.clone());
    assert_eq!(change().expect_err("pending").code, "ResourceConflictException");

    assert_eq!(status(&describe().expect("the table")["Table"]), "ACTIVE");
    delete().expect("active by now");
    assert_eq!(status(&describe().expect("the table")["Table"]), "DELETING");
    assert_eq!(delete().expect_err("deleting").code, "ResourceInUseException");
    std::thread::sleep(wait);
    assert_eq!(describe().expect_err("gone").code, "ResourceNotFoundException");

    assert_eq!(get()["Configuration"]["State"], "Active");
    let changed = change().expect("active by now");
    assert_eq!(changed["LastUpdateStatus"], "InProgress");
    assert_eq!(change().expect_err("updating").code, "ResourceConflictException");

    let remove = || boto.try_call("iam", "delete_role", json!({ "RoleName": "worker" }));
    assert_eq!(remove().expect_err("at first").code, "DeleteConflict");
    remove().expect("the second time");
}

#[test]
fn reads_lag_behind_writes() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let lag = Duration::from_secs(2);
    let tags = || {
        let role = boto.call("iam", "get_role", json!({ "RoleName": "worker" }));
        role["Role"]["Tags"].as_array().map_or(0, Vec::len)
    };

    proxy.imitate(Imitation { hidden: lag, ..Imitation::default() });
    role(&boto, "worker");
    let get = || boto.try_call("iam", "get_role", json!({ "RoleName": "worker" }));
    assert_eq!(get().expect_err("hidden").code, "NoSuchEntity");
    boto.call("apigatewayv2", "create_api", json!({ "Name": "web", "ProtocolType": "HTTP" }));
    let apis =
        || boto.call("apigatewayv2", "get_apis", json!({}))["Items"].as_array().map(Vec::len);
    assert_eq!(apis(), Some(0));
    std::thread::sleep(lag);
    get().expect("visible by now");
    assert_eq!(apis(), Some(1));

    proxy.imitate(Imitation { stale: lag, ..Imitation::default() });
    assert_eq!(tags(), 0);
    let tag = json!({ "RoleName": "worker", "Tags": [{ "Key": "a", "Value": "b" }] });
    boto.call("iam", "tag_role", tag);
    assert_eq!(tags(), 0);
    std::thread::sleep(lag);
    assert_eq!(tags(), 1);
}

#[test]
fn rates_and_conflicts_are_imitated() {
    let Some(python) = python() else { return };
    let moto = python.moto();
    let proxy = Proxy::start(&moto.url);
    let boto = Boto::new(python, &proxy.url);
    let api =
        boto.call("apigatewayv2", "create_api", json!({ "Name": "web", "ProtocolType": "HTTP" }));
    let api = api["ApiId"].as_str().expect("an id");
    proxy.imitate(Imitation {
        exclusive: Duration::from_millis(500),
        rates: vec![Rate { applies: |o| o.service == "sns", per_second: 1.0, burst: 2.0 }],
        ..Imitation::default()
    });
    let list = || boto.try_call("sns", "list_topics", json!({}));
    list().expect("the first of the burst");
    list().expect("the second of the burst");
    assert_eq!(list().expect_err("over the rate").code, "Throttling");
    std::thread::sleep(Duration::from_millis(1100));
    list().expect("a second later");

    // Not through boto3, which would first have to start twice.
    let create = |key: &str| {
        let scope = "AWS4-HMAC-SHA256 Credential=test/20300101/us-east-1/apigateway/aws4_request";
        let url = format!("{}/v2/apis/{api}/routes", proxy.url);
        let body = json!({ "routeKey": key }).to_string();
        let headers = [("authorization", scope), ("content-type", "application/json")];
        http::send("POST", &url, &headers, body.as_bytes()).expect("an answer").status
    };
    let mut answers = std::thread::scope(|scope| {
        let threads = ["ANY /a", "ANY /b"].map(|key| scope.spawn(move || create(key)));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    answers.sort_unstable();
    // moto says 200 where AWS says 201.
    assert_eq!(answers, [200, 409]);
    assert_eq!(create("ANY /later"), 200);
    assert_eq!(Rate::published().len(), 13);
}
