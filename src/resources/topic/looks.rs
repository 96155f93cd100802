//! What is done about each property of a topic, and whether its policy is SNS's own.

use serde_json::Value;

use super::super::watch::{HAND, Look, Usual, identity, ignored, ours, watched};

const FIFO: &str = "of FIFO topics only, which is fixed when they are created";
const FEEDBACK: &str = "where SNS logs its deliveries";

pub const LOOKS: &[Look] = &[
    Look {
        call: "sns:GetTopicAttributes",
        root: "Attributes",
        properties: &[
            watched(
                "Policy",
                Usual::Nothing,
                "who besides this account's IAM may publish or subscribe; what SNS gives each topic is not shown",
            ),
            watched("DeliveryPolicy", Usual::Nothing, HAND),
            ignored("EffectiveDeliveryPolicy", "follows from DeliveryPolicy"),
            watched("DisplayName", Usual::Nothing, "a text for people"),
            watched("MaximumMessageSize", Usual::Any(&["262144"]), HAND),
            identity("Owner", "the account"),
            watched(
                "SignatureVersion",
                Usual::Any(&["1"]),
                "advent's functions check no signatures",
            ),
            ignored(
                "SubscriptionsConfirmed",
                "each that advent.toml does not name is watched, and loud: a copy of every message goes there",
            ),
            ignored("SubscriptionsDeleted", "a count"),
            ignored("SubscriptionsPending", "a count"),
            identity("TopicArn", "it is found by"),
            watched("TracingConfig", Usual::Any(&["PassThrough"]), HAND),
            watched(
                "KmsMasterKeyId",
                Usual::Nothing,
                "organisations demand it; publishers need rights to the key then",
            ),
            watched("ArchivePolicy", Usual::Nothing, FIFO),
            ignored("BeginningArchiveTime", FIFO),
            watched("ContentBasedDeduplication", Usual::Any(&["false"]), FIFO),
            watched("FifoTopic", Usual::Any(&["false"]), FIFO),
            watched("FifoThroughputScope", Usual::Nothing, FIFO),
            watched("HTTPSuccessFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("HTTPSuccessFeedbackSampleRate", Usual::Any(&["0"]), FEEDBACK),
            watched("HTTPFailureFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("FirehoseSuccessFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("FirehoseSuccessFeedbackSampleRate", Usual::Any(&["0"]), FEEDBACK),
            watched("FirehoseFailureFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("LambdaSuccessFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("LambdaSuccessFeedbackSampleRate", Usual::Any(&["0"]), FEEDBACK),
            watched("LambdaFailureFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("ApplicationSuccessFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("ApplicationSuccessFeedbackSampleRate", Usual::Any(&["0"]), FEEDBACK),
            watched("ApplicationFailureFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("SQSSuccessFeedbackRoleArn", Usual::Nothing, FEEDBACK),
            watched("SQSSuccessFeedbackSampleRate", Usual::Any(&["0"]), FEEDBACK),
            watched("SQSFailureFeedbackRoleArn", Usual::Nothing, FEEDBACK),
        ],
    },
    Look {
        call: "sns:ListTagsForResource",
        root: "",
        properties: &[ours(
            "Tags",
            "tag ",
            "those of advent.toml; others belong to whoever set them",
        )],
    },
];

/// Whether a policy is the one that SNS gives every topic: this account's IAM decides.
pub(super) fn is_default(policy: &Value, arn: &str, account: &str) -> bool {
    let Some([statement]) = policy["Statement"].as_array().map(Vec::as_slice) else {
        return false;
    };
    let actions = statement["Action"].as_array();
    let bare = |action: &Value| {
        action.as_str().is_some_and(|name| name.starts_with("SNS:") && !name.contains('*'))
    };
    statement["Sid"] == "__default_statement_ID"
        && statement["Effect"] == "Allow"
        && statement["Principal"] == serde_json::json!({ "AWS": "*" })
        && actions.is_some_and(|actions| actions.iter().all(bare))
        && statement["Resource"] == arn
        && statement["Condition"]
            == serde_json::json!({ "StringEquals": { "AWS:SourceOwner": account } })
}

/// Whether a statement lets everybody in, whatever he comes with.
pub(super) fn is_public(policy: &Value) -> bool {
    let everybody = |statement: &Value| {
        let principal = &statement["Principal"];
        let anybody = |value: &Value| {
            *value == "*" || value.as_array().is_some_and(|all| all.iter().any(|one| one == "*"))
        };
        let bare = statement["Condition"].as_object().is_none_or(serde_json::Map::is_empty);
        statement["Effect"] == "Allow" && bare && (anybody(principal) || anybody(&principal["AWS"]))
    };
    match &policy["Statement"] {
        Value::Array(statements) => statements.iter().any(everybody),
        statement => everybody(statement),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_policy_that_sns_gives_is_told_from_what_somebody_made_of_it() {
        let own = json!({ "Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [{
            "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": { "AWS": "*" },
            "Action": ["SNS:Publish", "SNS:Subscribe"], "Resource": "arn:t",
            "Condition": { "StringEquals": { "AWS:SourceOwner": "1" } }
        }]});
        assert!(is_default(&own, "arn:t", "1") && !is_public(&own));
        let mut open = own.clone();
        open["Statement"][0]["Condition"] = json!({});
        assert!(!is_default(&open, "arn:t", "1") && is_public(&open));
        let mut wider = own.clone();
        wider["Statement"][0]["Action"] = json!(["SNS:*"]);
        assert!(!is_default(&wider, "arn:t", "1") && !is_public(&wider));
        let mut more = own;
        let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "SNS:Publish" });
        more["Statement"].as_array_mut().unwrap().push(statement);
        assert!(!is_default(&more, "arn:t", "1") && is_public(&more));
    }
}
