//! What is done about each property of a table.

use super::super::watch::{Look, Usual, identity, ignored, ours, watched};

const HAND: &str = "advent.toml has no word for it: set by hand, and left to whoever did";

pub const TABLE: Look = Look {
    call: "dynamodb:DescribeTable",
    root: "Table",
    properties: &[
        ignored("AttributeDefinitions", "follow from the keys of table and indexes"),
        identity("TableName", "it is found by"),
        ours(
            "KeySchema.AttributeName",
            "key",
            "advent.toml says it; another one replaces the table, if allowed",
        ),
        identity("KeySchema.KeyType", "one key, and so a hash key"),
        identity("TableStatus", "waited for"),
        ignored("CreationDateTime", "says nothing of what it is"),
        ignored("ProvisionedThroughput", "says nothing of a table on demand, which it is made"),
        ignored("TableSizeBytes", "what is in it"),
        ignored("ItemCount", "what is in it; said before it is deleted"),
        identity("TableArn", "follows from the name"),
        ignored("TableId", "DynamoDB gives it"),
        ours("BillingModeSummary.BillingMode", "billing", "on demand"),
        ignored("BillingModeSummary.LastUpdateToPayPerRequestDateTime", "when that was"),
        watched("LocalSecondaryIndexes", Usual::Nothing, "fixed when it is created"),
        watched("GlobalSecondaryIndexes", Usual::Nothing, HAND),
        watched("VectorIndexes", Usual::Nothing, HAND),
        watched("StreamSpecification.StreamEnabled", Usual::Nothing, HAND)
            .alarming("every change of an item can be read elsewhere"),
        ignored("StreamSpecification.StreamViewType", "says nothing without a stream"),
        ignored("LatestStreamLabel", "follows from the stream"),
        ignored("LatestStreamArn", "follows from the stream"),
        ignored("GlobalTableVersion", "says nothing without replicas"),
        watched("Replicas", Usual::Nothing, HAND)
            .alarming("the items are in other Regions too, which `advent down` does not clean up"),
        watched("GlobalTableWitnesses", Usual::Nothing, HAND),
        ignored("GlobalTableSettingsReplicationMode", "says nothing without replicas"),
        ignored("MultiRegionConsistency", "says nothing without replicas"),
        ignored("RestoreSummary", "how it was made"),
        watched("SSEDescription", Usual::Nothing, "organisations demand keys of their own"),
        watched("ArchivalSummary", Usual::Nothing, "DynamoDB archives what it cannot decrypt"),
        watched("TableClassSummary.TableClass", Usual::Any(&["STANDARD"]), "what it costs"),
        ignored("TableClassSummary.LastUpdateDateTime", "when that was"),
        watched(
            "DeletionProtectionEnabled",
            Usual::Nothing,
            "`advent down` refuses while it is on, and says how to lift it",
        ),
        watched("OnDemandThroughput", Usual::Any(&[UNLIMITED]), "an operator's brake on costs"),
        ignored("WarmThroughput", "DynamoDB raises it by itself"),
    ],
};

pub const TAGS: Look = Look {
    call: "dynamodb:ListTagsOfResource",
    root: "",
    properties: &[
        ours("Tags", "tag ", "those of advent.toml; others belong to whoever set them"),
        identity("NextToken", "every page is read"),
    ],
};

/// Where advent.toml says when items expire it is compared: field `ttl`.
pub const EXPIRY: Look = Look {
    call: "dynamodb:DescribeTimeToLive",
    root: "TimeToLiveDescription",
    properties: &[
        watched("TimeToLiveStatus", Usual::Any(&["DISABLED", "DISABLING"]), EXPIRES)
            .alarming("items are deleted when their time comes"),
        watched("AttributeName", Usual::Nothing, EXPIRES),
    ],
};

pub const BACKUPS: Look = Look {
    call: "dynamodb:DescribeContinuousBackups",
    root: "ContinuousBackupsDescription",
    properties: &[
        ignored("ContinuousBackupsStatus", "on for every table"),
        watched(
            "PointInTimeRecoveryDescription.PointInTimeRecoveryStatus",
            Usual::Any(&["DISABLED"]),
            "when the table is deleted, DynamoDB keeps a backup for 35 days",
        ),
        ignored(
            "PointInTimeRecoveryDescription.RecoveryPeriodInDays",
            "says nothing while that is off",
        ),
        ignored("PointInTimeRecoveryDescription.EarliestRestorableDateTime", "goes with the time"),
        ignored("PointInTimeRecoveryDescription.LatestRestorableDateTime", "goes with the time"),
    ],
};

pub const POLICY: Look = Look {
    call: "dynamodb:GetResourcePolicy",
    root: "",
    properties: &[
        watched("Policy", Usual::Nothing, "who besides this account's IAM may use the items")
            .alarming("who else may use the items is said by it"),
        ignored("RevisionId", "changes with every change of the policy"),
    ],
};

/// As DynamoDB writes that there is no limit.
const UNLIMITED: &str = r#"{"MaxReadRequestUnits":-1,"MaxWriteRequestUnits":-1}"#;

const EXPIRES: &str = "ours where advent.toml says when items expire (field ttl)";

pub const LOOKS: &[Look] = &[TABLE, TAGS, EXPIRY, BACKUPS, POLICY];
