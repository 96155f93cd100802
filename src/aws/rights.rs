//! What IAM must allow an operator: one table from the calls that are made to the actions that AWS
//! checks for them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use What::{
    Api, BoundedRoles, Everything, ExpiringTables, Functions, LogGroups, OtherRoles, PassedRoles,
    Roles, Tables, Topics,
};

/// A command that makes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    Up,
    /// And `plan`.
    Status,
    Down,
    Logs,
    Say,
}

/// What an action is about, as tight as its service and our names allow.
#[derive(Debug, Clone, Copy)]
enum What {
    /// Actions that AWS knows no resources for (Service Authorization Reference).
    Everything,
    Tables,
    ExpiringTables,
    Topics,
    Roles,
    /// Those that functions have for a moment only.
    OtherRoles,
    PassedRoles,
    BoundedRoles,
    Functions,
    LogGroups,
    /// Paths of API Gateway: ids are not known beforehand.
    Api(&'static [&'static str]),
}

/// A call by the name that it has in [`Call::new`](super::Call::new), who makes it, and the actions
/// that are checked for it.
type Row = (&'static str, &'static [Command], &'static [(&'static str, What)]);

/// Reads of what is compared, of what is deleted, and of both.
const COMPARED: &[Command] = &[Command::Up, Command::Status];
const DELETED: &[Command] = &[Command::Down];
const READ: &[Command] = &[Command::Up, Command::Status, Command::Down];
const WRITTEN: &[Command] = &[Command::Up];
const BOTH: &[Command] = &[Command::Up, Command::Down];

/// With a tag on it API Gateway checks more than the creation: which of these, and with which ARN
/// (one that holds another, once) is not documented; each has been named by a refusal.
const API_TAGS: &[(&str, What)] = &[
    ("apigateway:POST", Api(&["*/tags/*"])),
    ("apigateway:PUT", Api(&["*/tags/*"])),
    ("apigateway:TagResource", Api(&["/apis", "/apis/*"])),
];

/// `up` deletes nothing of the manifest's but what triggers and routes it does not have: what it
/// drops, and a table that is replaced, also takes what `down` needs. The exception is the role that it gives a
/// function for a moment: that it made itself.
const ROWS: &[Row] = &[
    // Whoever has credentials may ask whose they are.
    ("sts:GetCallerIdentity", &[], &[]),
    ("tag:GetResources", READ, &[("tag:GetResources", Everything)]),
    ("dynamodb:DescribeTable", READ, &[("dynamodb:DescribeTable", Tables)]),
    ("dynamodb:ListTagsOfResource", READ, &[("dynamodb:ListTagsOfResource", Tables)]),
    ("dynamodb:DescribeTimeToLive", COMPARED, &[("dynamodb:DescribeTimeToLive", Tables)]),
    (
        "dynamodb:DescribeContinuousBackups",
        COMPARED,
        &[("dynamodb:DescribeContinuousBackups", Tables)],
    ),
    ("dynamodb:GetResourcePolicy", COMPARED, &[("dynamodb:GetResourcePolicy", Tables)]),
    (
        "dynamodb:CreateTable",
        WRITTEN,
        &[("dynamodb:CreateTable", Tables), ("dynamodb:TagResource", Tables)],
    ),
    ("dynamodb:TagResource", WRITTEN, &[("dynamodb:TagResource", Tables)]),
    ("dynamodb:UpdateTable", WRITTEN, &[("dynamodb:UpdateTable", Tables)]),
    ("dynamodb:UpdateTimeToLive", WRITTEN, &[("dynamodb:UpdateTimeToLive", ExpiringTables)]),
    ("dynamodb:DeleteTable", DELETED, &[("dynamodb:DeleteTable", Tables)]),
    ("sns:ListSubscriptionsByTopic", READ, &[("sns:ListSubscriptionsByTopic", Topics)]),
    ("sns:GetTopicAttributes", COMPARED, &[("sns:GetTopicAttributes", Topics)]),
    ("sns:GetSubscriptionAttributes", COMPARED, &[("sns:GetSubscriptionAttributes", Everything)]),
    ("sns:ListTagsForResource", READ, &[("sns:ListTagsForResource", Topics)]),
    ("sns:CreateTopic", WRITTEN, &[("sns:CreateTopic", Topics), ("sns:TagResource", Topics)]),
    ("sns:TagResource", WRITTEN, &[("sns:TagResource", Topics)]),
    ("sns:Subscribe", WRITTEN, &[("sns:Subscribe", Topics)]),
    ("sns:Unsubscribe", BOTH, &[("sns:Unsubscribe", Everything)]),
    ("sns:DeleteTopic", DELETED, &[("sns:DeleteTopic", Topics)]),
    ("iam:ListRoles", READ, &[("iam:ListRoles", Everything)]),
    ("iam:GetRole", READ, &[("iam:GetRole", Roles)]),
    // Where the role's answer has none.
    ("iam:ListRoleTags", READ, &[("iam:ListRoleTags", Roles)]),
    ("iam:ListRolePolicies", READ, &[("iam:ListRolePolicies", Roles)]),
    ("iam:GetRolePolicy", COMPARED, &[("iam:GetRolePolicy", Roles)]),
    ("iam:CreateRole", WRITTEN, &[("iam:CreateRole", Roles), ("iam:TagRole", Roles)]),
    ("iam:TagRole", WRITTEN, &[("iam:TagRole", Roles)]),
    ("iam:UpdateAssumeRolePolicy", WRITTEN, &[("iam:UpdateAssumeRolePolicy", Roles)]),
    (
        "iam:PutRolePermissionsBoundary",
        WRITTEN,
        &[("iam:PutRolePermissionsBoundary", BoundedRoles)],
    ),
    ("iam:PutRolePolicy", WRITTEN, &[("iam:PutRolePolicy", Roles)]),
    ("iam:DeleteRolePolicy", BOTH, &[("iam:DeleteRolePolicy", Roles)]),
    ("iam:ListAttachedRolePolicies", READ, &[("iam:ListAttachedRolePolicies", Roles)]),
    ("iam:ListInstanceProfilesForRole", DELETED, &[("iam:ListInstanceProfilesForRole", Roles)]),
    ("iam:DetachRolePolicy", BOTH, &[("iam:DetachRolePolicy", Roles)]),
    ("iam:DeleteRole", DELETED, &[("iam:DeleteRole", Roles)]),
    ("iam:DeleteRole", WRITTEN, &[("iam:DeleteRole", OtherRoles)]),
    // Its answer has the tags only for those who may list them.
    (
        "lambda:GetFunction",
        READ,
        &[("lambda:GetFunction", Functions), ("lambda:ListTags", Functions)],
    ),
    // Where those tags are missing.
    ("lambda:ListTags", READ, &[("lambda:ListTags", Functions)]),
    ("lambda:ListFunctionUrlConfigs", COMPARED, &[("lambda:ListFunctionUrlConfigs", Functions)]),
    ("lambda:GetPolicy", READ, &[("lambda:GetPolicy", Functions)]),
    (
        "lambda:CreateFunction",
        WRITTEN,
        &[
            ("lambda:CreateFunction", Functions),
            ("lambda:TagResource", Functions),
            (PASS, PassedRoles),
        ],
    ),
    ("lambda:TagResource", WRITTEN, &[("lambda:TagResource", Functions)]),
    (
        "lambda:UpdateFunctionConfiguration",
        WRITTEN,
        &[("lambda:UpdateFunctionConfiguration", Functions), (PASS, PassedRoles)],
    ),
    ("lambda:UpdateFunctionCode", WRITTEN, &[("lambda:UpdateFunctionCode", Functions)]),
    ("lambda:AddPermission", WRITTEN, &[("lambda:AddPermission", Functions)]),
    ("lambda:RemovePermission", WRITTEN, &[("lambda:RemovePermission", Functions)]),
    ("lambda:DeleteFunction", DELETED, &[("lambda:DeleteFunction", Functions)]),
    (
        "apigateway:GetApis",
        &[Command::Up, Command::Status, Command::Down, Command::Say],
        &[("apigateway:GET", Api(&["/apis"]))],
    ),
    // Where an API of our name has none in that list.
    (
        "apigateway:GetTags",
        &[Command::Up, Command::Status, Command::Down, Command::Say],
        &[("apigateway:GET", Api(&["*/tags/*"]))],
    ),
    ("apigateway:GetIntegrations", COMPARED, &[("apigateway:GET", Api(&["/apis/*/integrations"]))]),
    ("apigateway:GetRoutes", COMPARED, &[("apigateway:GET", Api(&["/apis/*/routes"]))]),
    ("apigateway:GetStages", COMPARED, &[("apigateway:GET", Api(&["/apis/*/stages"]))]),
    ("apigateway:GetStage", COMPARED, &[("apigateway:GET", Api(&["/apis/*/stages/*"]))]),
    ("apigateway:CreateApi", WRITTEN, &[("apigateway:POST", Api(&["/apis"]))]),
    ("apigateway:CreateApi", WRITTEN, API_TAGS),
    ("apigateway:TagResource", WRITTEN, API_TAGS),
    (
        "apigateway:CreateIntegration",
        WRITTEN,
        &[("apigateway:POST", Api(&["/apis/*/integrations"]))],
    ),
    ("apigateway:CreateRoute", WRITTEN, &[("apigateway:POST", Api(&["/apis/*/routes"]))]),
    ("apigateway:CreateStage", WRITTEN, &[("apigateway:POST", Api(&["/apis/*/stages"]))]),
    ("apigateway:UpdateApi", WRITTEN, &[("apigateway:PATCH", Api(&["/apis/*"]))]),
    (
        "apigateway:UpdateIntegration",
        WRITTEN,
        &[("apigateway:PATCH", Api(&["/apis/*/integrations/*"]))],
    ),
    ("apigateway:UpdateRoute", WRITTEN, &[("apigateway:PATCH", Api(&["/apis/*/routes/*"]))]),
    ("apigateway:UpdateStage", WRITTEN, &[("apigateway:PATCH", Api(&["/apis/*/stages/*"]))]),
    ("apigateway:DeleteApi", BOTH, &[("apigateway:DELETE", Api(&["/apis/*"]))]),
    (
        "apigateway:DeleteIntegration",
        WRITTEN,
        &[("apigateway:DELETE", Api(&["/apis/*/integrations/*"]))],
    ),
    ("apigateway:DeleteRoute", WRITTEN, &[("apigateway:DELETE", Api(&["/apis/*/routes/*"]))]),
    ("logs:DescribeLogGroups", READ, &[("logs:DescribeLogGroups", Everything)]),
    ("logs:ListTagsForResource", READ, &[("logs:ListTagsForResource", LogGroups)]),
    (
        "logs:CreateLogGroup",
        WRITTEN,
        &[("logs:CreateLogGroup", LogGroups), ("logs:TagResource", LogGroups)],
    ),
    ("logs:TagResource", WRITTEN, &[("logs:TagResource", LogGroups)]),
    ("logs:PutRetentionPolicy", WRITTEN, &[("logs:PutRetentionPolicy", LogGroups)]),
    ("logs:DeleteLogGroup", DELETED, &[("logs:DeleteLogGroup", LogGroups)]),
    ("logs:FilterLogEvents", &[Command::Logs], &[("logs:FilterLogEvents", LogGroups)]),
];

const PASS: &str = "iam:PassRole";

/// The ARNs, or patterns of them, that one stage is made of.
#[derive(Debug, Default)]
pub struct Scope {
    pub tables: BTreeSet<String>,
    pub expiring_tables: BTreeSet<String>,
    pub topics: BTreeSet<String>,
    pub roles: BTreeSet<String>,
    pub other_roles: BTreeSet<String>,
    /// That functions run with, whoever made them.
    pub passed_roles: BTreeSet<String>,
    pub bounded_roles: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    /// Each in both forms, with and without `:*`.
    pub log_groups: BTreeSet<String>,
    /// API Gateway, up to where its paths begin: `arn:aws:apigateway:eu-west-1::`. `None` without
    /// an HTTP API.
    pub api: Option<String>,
}

impl Scope {
    fn of(&self, what: What) -> BTreeSet<String> {
        match what {
            Everything => BTreeSet::from(["*".to_owned()]),
            Tables => self.tables.clone(),
            ExpiringTables => self.expiring_tables.clone(),
            Topics => self.topics.clone(),
            Roles => self.roles.clone(),
            OtherRoles => self.other_roles.clone(),
            PassedRoles => self.passed_roles.clone(),
            BoundedRoles => self.bounded_roles.clone(),
            Functions => self.functions.clone(),
            LogGroups => self.log_groups.clone(),
            Api(paths) => {
                let apis = self.api.iter();
                apis.flat_map(|api| paths.iter().map(move |path| format!("{api}{path}"))).collect()
            }
        }
    }
}

/// Whether the table has this call.
pub fn knows(operation: &str) -> bool {
    ROWS.iter().any(|(known, ..)| *known == operation)
}

/// The action that is checked first for a call, and of API Gateway the path that it is about.
pub fn checked(operation: &str) -> Option<(&'static str, Option<&'static str>)> {
    let (.., actions) = ROWS.iter().find(|(known, ..)| *known == operation)?;
    let (action, what) = actions.first()?;
    let path = match what {
        Api(paths) => paths.first().copied(),
        _ => None,
    };
    Some((action, path))
}

/// The least policy with which these commands succeed.
pub fn policy(commands: &[Command], scope: &Scope) -> Value {
    let mut resources: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, by, actions) in ROWS {
        if by.iter().any(|command| commands.contains(command)) {
            for &(action, what) in *actions {
                resources.entry(action).or_default().extend(scope.of(what));
            }
        }
    }
    // Actions on the same things stand together.
    let mut statements: BTreeMap<(bool, BTreeSet<String>), Vec<&str>> = BTreeMap::new();
    for (action, mut resources) in resources {
        let all = resources.clone();
        resources.retain(|one| !all.iter().any(|other| covers(other, one)));
        if !resources.is_empty() {
            statements.entry((action == PASS, resources)).or_default().push(action);
        }
    }
    let statements = statements.into_iter().map(|((pass, resources), actions)| {
        let mut statement = json!({
            "Effect": "Allow",
            "Action": actions,
            "Resource": resources,
        });
        if pass {
            let service = json!({ "iam:PassedToService": "lambda.amazonaws.com" });
            statement["Condition"] = json!({ "StringEquals": service });
        }
        statement
    });
    json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
}

/// Whether all that the second pattern stands for begins as the first, which ends in `*`, does.
fn covers(one: &str, other: &str) -> bool {
    let start = one.strip_suffix('*').filter(|start| !start.contains('*'));
    one != other && start.is_some_and(|start| other.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What looks like a call and is none: what a permission allows, a trust policy, and rights that
    /// calls need of others.
    const NO_CALLS: [&str; 8] = [
        "lambda:InvokeFunction",
        "sts:AssumeRole",
        "iam:PassRole",
        "iam:PassedToService",
        "apigateway:POST",
        "apigateway:GET",
        "apigateway:PATCH",
        "apigateway:DELETE",
    ];

    /// Every `"service:Operation"` in the sources of a folder, but for the actions of the roles'
    /// policies.
    fn named(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                named(&path, found);
            }
            let source = path.extension().is_some_and(|kind| kind == "rs");
            if !source || ["rights.rs", "policies.rs"].contains(&name) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for quoted in text.split('"') {
                let operation = quoted.split_once(':').filter(|(service, name)| {
                    let services =
                        ["sts", "tag", "dynamodb", "sns", "iam", "lambda", "apigateway", "logs"];
                    services.contains(service)
                        && name.starts_with(|c: char| c.is_ascii_uppercase())
                        && name.chars().all(|c| c.is_ascii_alphanumeric())
                });
                if operation.is_some() && !NO_CALLS.contains(&quoted) {
                    found.insert(quoted.to_owned());
                }
            }
        }
    }

    #[test]
    fn every_call_has_its_rights_and_every_right_its_call() {
        let mut found = BTreeSet::new();
        for folder in ["aws", "commands", "resources", "stack"] {
            named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder), &mut found);
        }
        let rows: BTreeSet<_> =
            ROWS.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
        assert_eq!(found, rows);
    }

    #[test]
    fn the_same_things_stand_together_and_none_twice() {
        let scope = Scope {
            functions: ["arn:f", "arn:g"].map(str::to_owned).into(),
            passed_roles: ["arn:r/*"].map(str::to_owned).into(),
            api: Some("arn:api::".into()),
            ..Scope::default()
        };
        let policy = policy(&[Command::Up], &scope);
        let statements = policy["Statement"].as_array().unwrap();
        let with = |action: &str| {
            let has = |s: &&Value| s["Action"].as_array().unwrap().contains(&json!(action));
            let mut with = statements.iter().filter(has);
            let found = with.next().cloned();
            assert!(with.next().is_none(), "{action} twice");
            found
        };
        assert_eq!(with("dynamodb:CreateTable"), None);
        let create = with("lambda:CreateFunction").unwrap();
        assert_eq!(create["Resource"], json!(["arn:f", "arn:g"]));
        assert_eq!(create, with("lambda:ListTags").unwrap());
        let pass = with(PASS).unwrap();
        let service = &pass["Condition"]["StringEquals"]["iam:PassedToService"];
        assert_eq!(service, "lambda.amazonaws.com");
        assert_eq!(with("apigateway:PATCH").unwrap()["Resource"], json!(["arn:api::/apis/*"]));
        assert_eq!(with("tag:GetResources").unwrap()["Resource"], json!(["*"]));
    }

    #[test]
    fn who_reads_may_not_write() {
        let scope = Scope { functions: ["arn:f".to_owned()].into(), ..Scope::default() };
        for command in [Command::Status, Command::Logs, Command::Say] {
            let policy = policy(&[command], &scope);
            for action in policy["Statement"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|s| s["Action"].as_array().unwrap().clone())
            {
                let name = action.as_str().unwrap().split_once(':').unwrap().1.to_owned();
                let reads = ["GET", "Get", "List", "Describe", "Filter"];
                assert!(reads.iter().any(|read| name.starts_with(read)), "{command:?}: {action}");
            }
        }
    }
}
