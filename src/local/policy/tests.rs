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

#[test]
fn conditions() {
    let context: BTreeMap<_, _> = [
        ("dynamodb:Attributes".to_owned(), vec!["word".to_owned(), "count".to_owned()]),
        ("n".to_owned(), vec!["5".to_owned()]),
    ]
    .into();
    let hold = |block| condition::hold(&block, &context);
    assert!(hold(
        json!({"ForAllValues:StringEquals": {"dynamodb:attributes": ["word", "count", "x"]}})
    ));
    assert!(!hold(json!({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["word"]}})));
    assert!(hold(json!({"ForAnyValue:StringLike": {"dynamodb:Attributes": "w*"}})));
    assert!(!hold(json!({"StringEquals": {"missing": "a"}})));
    assert!(hold(
        json!({"StringEqualsIfExists": {"missing": "a"}, "StringNotEquals": {"missing": "a"}})
    ));
    assert!(hold(json!({"Null": {"missing": "true", "n": false}})));
    assert!(hold(json!({"NumericLessThan": {"n": 6}, "NumericGreaterThanEquals": {"n": "5"}})));
    assert!(!hold(json!({"NoSuchOperator": {"n": "5"}})));
}

#[test]
fn trust() {
    let trust = |principal: Value| json!({"Statement": {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}});
    let lambda = "lambda.amazonaws.com";
    assert!(trusts_service(&trust(json!({"Service": [lambda]})), lambda));
    assert!(!trusts_service(&trust(json!({"Service": "ec2.amazonaws.com"})), lambda));
    assert!(!trusts_service(&trust(json!({"AWS": "000000000000"})), lambda));
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
