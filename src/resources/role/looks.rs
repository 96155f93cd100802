//! What is done about each property of a role.

use super::super::watch::{Look, Usual, identity, ignored, ours, watched};

/// What is done about each property.
pub const LOOKS: &[Look] = &[
    Look {
        call: "iam:GetRole",
        root: "Role",
        properties: &[
            ours("Path", "path", "it is found by, when nothing names it any longer"),
            identity("RoleName", "it is found by"),
            identity("RoleId", "IAM gives it; that a role was made again is seen by its date"),
            identity("Arn", "follows from path and name"),
            identity("CreateDate", "a function older than its role is pointed at it again"),
            ours("AssumeRolePolicyDocument", "trust policy", "only Lambda may assume it"),
            watched("Description", Usual::Nothing, "a text for people"),
            watched(
                "MaxSessionDuration",
                Usual::Any(&["3600"]),
                "Lambda asks for sessions of its own",
            ),
            identity("PermissionsBoundary.PermissionsBoundaryType", "there is one type"),
            watched(
                "PermissionsBoundary",
                Usual::Nothing,
                "organisations set it; ours where advent.toml says one (field permissions boundary)",
            ),
            ours("Tags", "tag ", "those of advent.toml; others belong to whoever set them"),
            ignored("RoleLastUsed", "changes with every use"),
            ignored("SourceRoleTemplate", "how it was created, which advent did itself"),
        ],
    },
    Look {
        call: "iam:ListAttachedRolePolicies",
        root: "AttachedPolicies[]",
        properties: &[
            identity("PolicyName", "follows from the ARN"),
            ours(
                "PolicyArn",
                "attached policy ",
                "a right that advent.toml does not give; what a function needs more is a `statement` there",
            ),
        ],
    },
    Look {
        call: "iam:ListRolePolicies",
        root: "",
        properties: &[ours("PolicyNames", "policy ", "as attached policies")],
    },
    Look {
        call: "iam:GetRolePolicy",
        root: "",
        properties: &[
            identity("RoleName", "it is found by"),
            identity("PolicyName", "it is found by"),
            ours("PolicyDocument", "policy ", "exactly the rights of advent.toml"),
        ],
    },
];
