//! What is done about each property of a table.

use serde_json::{Value, json};

use super::super::watch::{HAND, Look, Usual, identity, ignored, optional, ours, watched};
use super::Table;
use crate::aws::raw::Raw;
use crate::aws::{ApiError, Call, Context, told};
use crate::engine::Notices;

pub const TABLE: Look = Look {
    call: "dynamodb:DescribeTable",
    root: "Table",
    properties: &[
        ignored("AttributeDefinitions.AttributeName", "follow from the keys of table and indexes"),
        ours(
            "AttributeDefinitions.AttributeType",
            "key",
            "the key is a string; another type is another key. Those of indexes go with these",
        ),
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

impl Table {
    /// What somebody has set that advent.toml does not speak of.
    pub(super) async fn read_notices(
        &self,
        table: &Value,
        cx: &Context<'_>,
    ) -> Result<Notices, ApiError> {
        let mut notices = Notices::default();
        notices.watched = TABLE.notices("", table, &self.id.name);
        let dynamodb = &cx.cloud.dynamodb;
        let (ttl, backups) = (Raw::default(), Raw::default());
        let ask_ttl = async {
            if self.ttl.is_some() {
                return Ok(());
            }
            let request = || {
                let request = dynamodb.describe_time_to_live().table_name(&self.id.name);
                request.customize().interceptor(ttl.clone()).send()
            };
            let asked = ("dynamodb:DescribeTimeToLive", self.id.name.as_str());
            let answer = Call::new(asked.0, asked.1).send(request).await?;
            told(answer.time_to_live_description, "TimeToLiveDescription", asked).map(drop)
        };
        let ask_backups = async {
            let request = || {
                let request = dynamodb.describe_continuous_backups().table_name(&self.id.name);
                request.customize().interceptor(backups.clone()).send()
            };
            let asked = ("dynamodb:DescribeContinuousBackups", self.id.name.as_str());
            let answer = Call::new(asked.0, asked.1).send(request).await?;
            told(answer.continuous_backups_description, "ContinuousBackupsDescription", asked)
        };
        let arn = self.id.names.table_arn(&self.id.name);
        let ask_policy = async {
            let request = || dynamodb.get_resource_policy().resource_arn(&arn).send();
            let asked = ("dynamodb:GetResourcePolicy", self.id.name.as_str());
            match Call::new(asked.0, asked.1).send(request).await {
                Ok(answer) => told(answer.policy, "Policy", asked).map(Some),
                Err(error) if error.is("PolicyNotFound") => Ok(None),
                Err(error) => Err(error),
            }
        };
        let answers = tokio::join!(ask_ttl, ask_backups, ask_policy);
        if optional("whether items expire", answers.0, &mut notices.unread)?.is_some() {
            let seen = &ttl.take()["TimeToLiveDescription"];
            notices.watched.extend(EXPIRY.notices("", seen, &self.id.name));
        }
        if optional("backups", answers.1, &mut notices.unread)?.is_some() {
            let seen = &backups.take()["ContinuousBackupsDescription"];
            notices.watched.extend(BACKUPS.notices("", seen, &self.id.name));
        }
        let policy = optional("the resource policy", answers.2, &mut notices.unread)?.flatten();
        let seen = json!({ "Policy": policy });
        notices.watched.extend(POLICY.notices("resource policy: ", &seen, &self.id.name));
        Ok(notices)
    }
}
