//! What policies allow and deny.

use serde_json::json;

use super::*;

fn decide(policy: &Value, action: &str, resource: &str) -> Decision {
    evaluate([policy], &Request { action, resource, ..Request::default() })
}

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/table";

#[test]
fn what_is_not_allowed_is_denied() {
    let policy = json!({"Statement": {"Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": TABLE}});
    assert_eq!(decide(&policy, "dynamodb:updateitem", TABLE), Decision::Allow);
    assert_eq!(decide(&policy, "dynamodb:PutItem", TABLE), Decision::ImplicitDeny);
    assert_eq!(
        decide(&policy, "dynamodb:UpdateItem", &format!("{TABLE}2")),
        Decision::ImplicitDeny
    );
}

#[test]
fn deny_outweighs_allow() {
    let policy = json!({"Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["sns:*"], "Resource": "arn:aws:sns:*:*:a?c"},
    ]});
    assert_eq!(decide(&policy, "sns:Publish", "arn:aws:sns:r:1:abc"), Decision::ExplicitDeny);
    assert_eq!(decide(&policy, "sns:Publish", "arn:aws:sns:r:1:abd"), Decision::Allow);
}

#[test]
fn not_action_and_not_resource() {
    let policy =
        json!({"Statement": {"Effect": "Allow", "NotAction": "iam:*", "NotResource": TABLE}});
    assert_eq!(decide(&policy, "sns:Publish", "arn:aws:sns:r:1:t"), Decision::Allow);
    assert_eq!(decide(&policy, "iam:GetRole", "arn:aws:sns:r:1:t"), Decision::ImplicitDeny);
    assert_eq!(decide(&policy, "dynamodb:PutItem", TABLE), Decision::ImplicitDeny);
}

#[test]
fn wildcards_reach_over_parts_of_arns() {
    let policy =
        json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:*:*:*:*"}});
    assert_eq!(decide(&policy, "dynamodb:UpdateItem", TABLE), Decision::Allow);
    let policy =
        json!({"Statement": {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}});
    assert_eq!(decide(&policy, "dynamodb:ListTables", "*"), Decision::Allow);
}

#[test]
fn a_function_policy_names_service_and_source() {
    let policy = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:r:1:function:f",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:r:1:*"}},
    }]});
    let ask = |service, source: &str| {
        evaluate(
            [&policy],
            &Request {
                principal: Some(("Service", service)),
                action: "lambda:InvokeFunction",
                resource: "arn:aws:lambda:r:1:function:f",
                context: [("aws:SourceArn".to_owned(), vec![source.to_owned()])].into(),
            },
        )
    };
    assert_eq!(ask("sns.amazonaws.com", "arn:aws:sns:r:1:t"), Decision::Allow);
    assert_eq!(ask("sns.amazonaws.com", "arn:aws:sns:r:2:t"), Decision::ImplicitDeny);
    assert_eq!(ask("apigateway.amazonaws.com", "arn:aws:sns:r:1:t"), Decision::ImplicitDeny);
}

fn context() -> BTreeMap<String, Vec<String>> {
    let one = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
    [
        ("dynamodb:Attributes".to_owned(), vec!["word".to_owned(), "count".to_owned()]),
        one("n", "5"),
        one("aws:CurrentTime", "2026-11-28T04:00:00Z"),
        one("aws:EpochTime", "1795838400"),
        one("aws:SourceIp", "127.0.0.1"),
        one("aws:SecureTransport", "false"),
        one("data", "YWJj"),
    ]
    .into()
}

#[test]
fn conditions() {
    let context = context();
    let hold = |block: &Value| condition::hold(block, &context, Some(&context));
    for (block, holds) in [
        (
            json!({"ForAllValues:StringEquals": {"dynamodb:attributes": ["word", "count", "x"]}}),
            true,
        ),
        (json!({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["word"]}}), false),
        (json!({"ForAnyValue:StringLike": {"dynamodb:Attributes": "w*"}}), true),
        (json!({"ForAllValues:StringNotEquals": {"dynamodb:Attributes": ["x"]}}), true),
        (json!({"ForAllValues:StringNotEquals": {"dynamodb:Attributes": ["word"]}}), false),
        (json!({"ForAllValues:StringEquals": {"aws:CalledVia": ["x"]}}), true),
        (json!({"ForAnyValue:StringEquals": {"aws:CalledVia": ["x"]}}), false),
        (json!({"StringEquals": {"aws:SourceVpc": "a"}}), false),
        (json!({"StringEqualsIfExists": {"aws:SourceVpc": "a"}}), true),
        (json!({"StringNotEquals": {"aws:SourceVpc": "a"}}), true),
        (json!({"Null": {"aws:SourceVpc": "true", "n": false}}), true),
        (json!({"Null": {"n": ["true"]}}), false),
        (json!({"NumericLessThan": {"n": 6}, "NumericGreaterThanEquals": {"n": "5"}}), true),
        (json!({"NumericNotEquals": {"n": "5.0"}}), false),
        (json!({"NumericEquals": {"data": "5"}}), false),
        (json!({"Bool": {"aws:SecureTransport": "FALSE"}}), true),
        (json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": true}}), true),
        (json!({"Bool": {"aws:MultiFactorAuthPresent": true}}), false),
        (json!({"DateGreaterThan": {"aws:CurrentTime": "2026-11-28T05:00:00+02:00"}}), true),
        (json!({"DateLessThan": {"aws:CurrentTime": "2026-11-28"}}), false),
        (json!({"DateEquals": {"aws:EpochTime": "2026-11-28T04:00:00Z"}}), true),
        (json!({"DateLessThan": {"aws:CurrentTime": "2027"}}), true),
        (json!({"DateGreaterThan": {"aws:CurrentTime": "2026"}}), true),
        (json!({"DateGreaterThan": {"aws:CurrentTime": "2026-12"}}), false),
        (json!({"DateNotEquals": {"aws:CurrentTime": "2026-11-28T05:00+01:00"}}), false),
        (json!({"DateLessThan": {"aws:CurrentTime": "1795838401"}}), true),
        (json!({"NumericGreaterThan": {"aws:EpochTime": "1795838399"}}), true),
        (json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}}), true),
        (json!({"IpAddress": {"aws:SourceIp": "127.0.0.1"}}), true),
        (json!({"IpAddress": {"aws:SourceIp": "::/0"}}), false),
        (json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}}), false),
        (json!({"NotIpAddress": {"aws:SourceIp": "192.168.0.0/16"}}), true),
        (json!({"BinaryEquals": {"data": "YWJj"}}), true),
        (json!({"StringEquals": {"n": "${n}"}}), true),
    ] {
        assert_eq!(hold(&block), Ok(holds), "{block}");
    }
    let variable = json!({"StringEquals": {"n": "${n}"}});
    assert_eq!(condition::hold(&variable, &context, None), Ok(false), "the language of 2008");
}

/// AWS may fill in what is not known here: neither a resource nor its opposite is known then.
#[test]
fn variables_that_are_not_known_close() {
    let account = "arn:aws:dynamodb:*:${aws:ResourceAccount}:table/table";
    let one = |effect: &str, key: &str, resource: Value| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
            {"Effect": effect, "Action": "dynamodb:*", key: resource},
        ]})
    };
    let ask = |policy: &Value| decide(policy, "dynamodb:GetItem", TABLE);
    for key in ["Resource", "NotResource"] {
        assert_eq!(ask(&one("Deny", key, json!(account))), Decision::ExplicitDeny, "{key}");
        let mut allowing = one("Allow", key, json!(account));
        allowing["Statement"][0]["Effect"] = json!("Neither");
        assert_eq!(ask(&allowing), Decision::ImplicitDeny, "{key}");
    }
    // Where another pattern decides, nothing depends on it.
    let denied = one("Deny", "NotResource", json!([account, TABLE]));
    assert_eq!(ask(&denied), Decision::Allow);
    // As plain text, in the language of 2008; and characters that are meant.
    let mut old = one("Deny", "Resource", json!(account));
    old["Version"] = json!("2008-10-17");
    assert_eq!(ask(&old), Decision::Allow);
    assert_eq!(ask(&one("Deny", "Resource", json!("a${*}${?}${$}"))), Decision::Allow);
    // A default counts where the key is known to be absent.
    let with = |name: &str| json!(format!("arn:aws:dynamodb:*:*:table/${{{name}, 'table'}}"));
    assert_eq!(ask(&one("Deny", "Resource", with("aws:PrincipalTag/t"))), Decision::ExplicitDeny);
    assert_eq!(ask(&one("Deny", "NotResource", with("aws:PrincipalTag/t"))), Decision::Allow);
    assert_eq!(ask(&one("Deny", "NotResource", with("aws:What"))), Decision::ExplicitDeny);
}

/// Whatever is not known denies: what would be allowed, and what is denied.
#[test]
fn doubt_closes() {
    let conditions = [
        json!({"NoSuchOperator": {"n": "5"}}),
        json!({"stringequals": {"n": "5"}}),
        json!({"NotStringEquals": {"n": "6"}}),
        json!({"StringEqualsNot": {"n": "6"}}),
        json!({"BoolNot": {"aws:SecureTransport": "true"}}),
        json!({"NotBool": {"aws:SecureTransport": "true"}}),
        json!({"IpNotAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        json!({"NumericNotLessThan": {"n": "5"}}),
        json!({"NotNull": {"n": "true"}}),
        json!({"ForAnyValue:NotStringLike": {"n": "6"}}),
        json!({"NullIfExists": {"n": "false"}}),
        json!({"ForAnyValue:Null": {"n": "false"}}),
        json!({"NumericLessThan": {"n": "inf"}}),
        json!({"StringNotEquals": {"n": "${aws:ResourceAccount}"}}),
        json!({"StringLike": {"n": "${aws:PrincipalTag/team}"}}),
        json!({"DateLessThan": {"aws:CurrentTime": "2026-W48"}}),
        json!({"ForSomeValues:StringEquals": {"n": "5"}}),
        json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        json!({"StringNotEquals": {"aws:ResourceTag/team": "a"}}),
        json!({"StringEqualsIfExists": {"dynamodb:LeadingKeys": "a"}}),
        json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"]}}),
        json!({"Null": {"no:SuchKey": "true"}}),
        json!({"Null": {"n": "maybe"}}),
        json!({"NumericLessThan": {"n": "many"}}),
        json!({"DateLessThan": {"aws:CurrentTime": "tomorrow"}}),
        json!({"IpAddress": {"aws:SourceIp": "127.0.0.1/99"}}),
        json!({"Bool": {"aws:SecureTransport": "no"}}),
        json!(["StringEquals"]),
        json!({"StringEquals": "n"}),
    ];
    let ask = |policy: Value| {
        let request =
            Request { action: "sns:Publish", resource: "*", context: context(), principal: None };
        evaluate([&policy], &request)
    };
    let statement = |effect: &str, condition: &Value| json!({"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition});
    for condition in &conditions {
        let policy = json!({"Version": "2012-10-17", "Statement": statement("Allow", condition)});
        assert_eq!(ask(policy), Decision::ImplicitDeny, "{condition}");
        let both = [statement("Allow", &Value::Null), statement("Deny", condition)];
        let policy = json!({"Version": "2012-10-17", "Statement": both});
        assert_eq!(ask(policy), Decision::ExplicitDeny, "{condition}");
        // Another condition that does not hold settles it.
        let mut settled = condition.clone();
        if let Some(block) =
            settled.as_object_mut().filter(|block| !block.contains_key("StringLike"))
        {
            block.insert("StringLike".to_owned(), json!({"n": "6"}));
            let both = [statement("Allow", &Value::Null), statement("Deny", &settled)];
            let is_readable = condition.get("StringEquals").is_none_or(Value::is_object);
            let wanted = if is_readable { Decision::Allow } else { Decision::ExplicitDeny };
            assert_eq!(
                ask(json!({"Version": "2012-10-17", "Statement": both})),
                wanted,
                "{settled}"
            );
        }
    }
    for (effect, decision) in [("Allow", Decision::ImplicitDeny), ("Deny", Decision::ExplicitDeny)]
    {
        let policy = json!({"Version": "2030-01-01", "Statement": statement(effect, &Value::Null)});
        assert_eq!(ask(policy), decision, "a version that is not known");
    }
}

#[test]
fn trust() {
    let trust = |principal: Value| json!({"Statement": {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}});
    let lambda = "lambda.amazonaws.com";
    assert!(trusts_service(&trust(json!({"Service": [lambda]})), lambda));
    assert!(!trusts_service(&trust(json!({"Service": "ec2.amazonaws.com"})), lambda));
    assert!(!trusts_service(&trust(json!({"AWS": "000000000000"})), lambda));
    let both = |deny: Value| {
        let mut deny = deny;
        deny["Effect"] = "Deny".into();
        deny["Principal"] = "*".into();
        let allow = json!({"Effect": "Allow", "Principal": {"Service": lambda}, "Action": "sts:*",
            "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}}});
        trusts_service(&json!({"Statement": [allow, deny]}), lambda)
    };
    assert!(both(json!({"Action": "sts:TagSession"})), "about something else");
    assert!(both(json!({"NotAction": "sts:AssumeRole"})), "about all else");
    assert!(!both(json!({"Action": "sts:AssumeRole"})));
    assert!(!both(json!({"NotAction": "sts:TagSession"})));
    let condition = json!({"StringNotEquals": {"aws:SourceAccount": "000000000000"}});
    assert!(!both(json!({"Action": "sts:AssumeRole", "Condition": condition})), "not known");
}

#[test]
fn malformed_documents_are_refused() {
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    .to_string();
    check(&trust, true).unwrap();
    assert_eq!(
        check(&trust, false).unwrap_err(),
        "Policy document should not specify a principal."
    );
    check("{", true).unwrap_err();
    check(r#"{"Statement": []}"#, true).unwrap_err();
    let resource = |arn: &str| {
        check(
            &json!({"Statement": {"Effect": "Allow", "Action": "sns:Publish", "Resource": arn}})
                .to_string(),
            false,
        )
    };
    resource(TABLE).unwrap();
    assert_eq!(resource("table").unwrap_err(), "Resource table must be in ARN format or \"*\".");
}

#[test]
fn a_boundary_allows_nothing_by_itself_and_limits_what_is_allowed() {
    use Decision::{Allow, DeniedByBoundary, ExplicitDeny, ImplicitDeny, OutOfBounds};
    for (own, boundary, together) in [
        (Allow, Allow, Allow),
        (Allow, ImplicitDeny, OutOfBounds),
        (Allow, ExplicitDeny, DeniedByBoundary),
        (ImplicitDeny, Allow, ImplicitDeny),
        (ExplicitDeny, Allow, ExplicitDeny),
    ] {
        assert_eq!(own.within(boundary), together, "{own:?} within {boundary:?}");
    }
}
