//! A missing permission: what AWS's text says of it, and the statement to ask for.

use serde_json::{Value, json};

use super::retry::ApiError;
use super::rights;

/// AWS refused the operator something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// ARN of the operator, if AWS told it.
    pub principal: Option<String>,
    /// As IAM writes it. Often not the call's: creating a function takes `iam:PassRole`.
    pub action: String,
    /// ARN, as a policy names it, or `*`.
    pub resource: String,
    /// The policy that AWS says decided.
    pub policy: Option<String>,
    /// A statement denies it: another one that allows it does not help.
    pub explicit: bool,
}

impl Denial {
    /// The first in an error's chain, if it is about a missing permission.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(|cause| cause.downcast_ref()).and_then(Self::of_api)
    }

    pub fn of_api(error: &ApiError) -> Option<Self> {
        if !error.is_denied() || error.is_clock() {
            return None;
        }
        let said = Self::said(&error.message);
        Some(said.unwrap_or_else(|| Self::of_call(error.operation, &error.target)))
    }

    /// From the text that AWS's services share:
    /// `User: ARN is not authorized to perform: ACTION on resource: ARN because no KIND allows the
    /// ACTION action`, or `… with an explicit deny in a KIND: ARN`; any part after the action may
    /// be missing.
    pub fn said(message: &str) -> Option<Self> {
        let (before, after) = message.split_once("not authorized to perform")?;
        let action = after.trim_start_matches(':').trim_start();
        let end = action.find(|c: char| !(c.is_ascii_alphanumeric() || ":-*".contains(c)));
        let (action, rest) = action.split_at(end.unwrap_or(action.len()));
        let (service, verb) = action.split_once(':').filter(|(_, verb)| !verb.is_empty())?;
        let action = format!("{}:{verb}", service.to_ascii_lowercase());
        let principal = before
            .rsplit("User:")
            .next()
            .and_then(|user| user.split_whitespace().next())
            .filter(|user| user.starts_with("arn:"))
            .map(str::to_owned);
        let reason = ["because no ", "because the ", "with an explicit deny"]
            .iter()
            .filter_map(|start| rest.find(start))
            .min()
            .unwrap_or(rest.len());
        let (on, reason) = rest.split_at(reason);
        let on = on.split("Encoded authorization failure").next().unwrap_or_default();
        let resource = on.split_once("on resource:").map_or("*", |(_, resource)| resource);
        let resource = as_arn(resource, principal.as_deref());
        let explicit = reason.starts_with("with an explicit deny") || reason.contains(" denies ");
        Some(Self {
            resource: in_policy(&action, &resource),
            principal,
            action,
            policy: policy(reason),
            explicit,
        })
    }

    /// From the call, where the text says nothing.
    fn of_call(operation: &str, target: &str) -> Self {
        let (action, path) = rights::checked(operation).unwrap_or((operation, None));
        let resource = match path {
            Some(path) => format!("arn:aws:apigateway:*::{path}"),
            None if target.starts_with("arn:") => target.to_owned(),
            None => "*".to_owned(),
        };
        let (action, resource) = (action.to_owned(), in_policy(action, &resource));
        Self { principal: None, action, resource, policy: None, explicit: false }
    }

    /// The statement that allows it.
    pub fn statement(&self) -> Value {
        let mut statement =
            json!({ "Effect": "Allow", "Action": self.action, "Resource": self.resource });
        if self.action == "iam:PassRole" {
            statement["Condition"] =
                json!({ "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } });
        }
        statement
    }

    /// What to ask for, and whom.
    pub fn hint(&self) -> String {
        let who = self.principal.as_deref().unwrap_or("the operator");
        let needed = format!("{who} needs {} on {}", self.action, self.resource);
        let policy = self.policy.as_deref().unwrap_or("policy");
        let statement = self.statement();
        if self.explicit {
            let asked = asked(policy);
            return format!(
                "{needed}, which a statement of a {policy} denies: allowing it elsewhere does not \
                 help. {asked} to except this from the denial"
            );
        }
        match policy {
            "policy" | "identity-based policy" => format!(
                "{needed}. The statement to ask for, in a policy of that user or role:\n{statement}"
            ),
            policy => format!(
                "{needed}, which its {policy} does not allow: allowing it elsewhere does not help. \
                 {} to allow there:\n{statement}",
                asked(policy)
            ),
        }
    }

    /// For programs.
    pub fn document(&self) -> Value {
        json!({
            "principal": self.principal,
            "action": self.action,
            "resource": self.resource,
            "policy": self.policy,
            "explicit": self.explicit,
            "statement": self.statement(),
        })
    }

    /// What these are missing in all that more statements help with, as one policy.
    pub fn policy_for(denials: &[Self]) -> Option<Value> {
        let mut statements = Vec::new();
        for denial in denials.iter().filter(|denial| !denial.explicit) {
            let statement = denial.statement();
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        (!statements.is_empty())
            .then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
    }
}

/// Whoever can change a policy of this kind.
fn asked(policy: &str) -> &'static str {
    match policy {
        "service control policy" | "resource control policy" => {
            "Ask whoever administers the organization that this account belongs to"
        }
        "permissions boundary" => "Ask whoever set the permissions boundary of that user or role",
        "session policy" => "Ask whoever made the session (its credentials have that policy)",
        "VPC endpoint policy" => "Ask whoever administers this network's VPC endpoint",
        "resource-based policy" => "Ask the owner of the resource",
        _ => "Ask whoever administers this account",
    }
}

/// The kind of policy that AWS gives as the reason.
fn policy(reason: &str) -> Option<String> {
    const KINDS: [&str; 8] = [
        "identity-based policy",
        "permissions boundary",
        "service control policy",
        "resource control policy",
        "session policy",
        "resource-based policy",
        "VPC endpoint policy",
        "role trust policy",
    ];
    KINDS.iter().find(|kind| reason.contains(**kind)).map(|kind| (*kind).to_owned())
}

/// IAM also writes `role NAME` and `policy ARN`.
fn as_arn(resource: &str, principal: Option<&str>) -> String {
    let words: Vec<_> = resource.split_whitespace().collect();
    let clean = |word: &str| word.trim_matches(['"', '\'', ',', ';', '.', '(', ')']).to_owned();
    let arn = words.iter().find(|word| word.trim_start_matches(['"', '\'']).starts_with("arn:"));
    if let Some(arn) = arn {
        return clean(arn);
    }
    let of = principal.map(|arn| arn.split(':').collect::<Vec<_>>());
    match (words.as_slice(), of.as_deref()) {
        (
            [kind @ ("role" | "user" | "policy"), name, ..],
            Some([_, partition, _, _, account, ..]),
        ) => {
            format!("arn:{partition}:iam::{account}:{kind}/{}", clean(name))
        }
        _ => "*".to_owned(),
    }
}

/// As a policy names what a call is about.
fn in_policy(action: &str, resource: &str) -> String {
    if action.starts_with("logs:")
        && let Some((group, _)) = resource.split_once(":log-stream:")
    {
        return format!("{}:*", group.trim_end_matches(':'));
    }
    match resource.split_once("::/tags/") {
        // The path holds the tagged API's ARN, encoded.
        Some((api_gateway, _)) => format!("{api_gateway}::/tags/*"),
        None => resource.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "arn:aws:iam::123456789012:user/deploy";

    fn said(rest: &str) -> Denial {
        Denial::said(&format!("User: {USER} is not authorized to perform: {rest}")).unwrap()
    }

    #[test]
    fn the_action_is_the_text_s_not_the_call_s() {
        let role = "arn:aws:iam::123456789012:role/advent/a";
        let denial = said(&format!(
            "iam:PassRole on resource: {role} because no identity-based policy allows the \
             iam:PassRole action"
        ));
        assert_eq!(
            denial.statement(),
            json!({ "Effect": "Allow", "Action": "iam:PassRole", "Resource": role,
                "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } } })
        );
        assert_eq!(denial.policy.as_deref(), Some("identity-based policy"));
        assert_eq!((denial.principal.as_deref(), denial.explicit), (Some(USER), false));
        assert!(denial.hint().contains(&denial.statement().to_string()), "{}", denial.hint());
        let topic = "arn:aws:sns:eu-west-1:123456789012:news";
        let denial = said(&format!(
            "SNS:TagResource on resource: {topic} because no identity-based policy allows the \
             SNS:TagResource action"
        ));
        assert_eq!((denial.action.as_str(), denial.resource.as_str()), ("sns:TagResource", topic));
    }

    #[test]
    fn every_reason_is_told_apart() {
        for kind in [
            "permissions boundary",
            "service control policy",
            "resource control policy",
            "session policy",
            "resource-based policy",
            "VPC endpoint policy",
        ] {
            let implicit = said(&format!(
                "dynamodb:CreateTable on resource: arn:aws:dynamodb:eu-west-1:1:table/t because no \
                 {kind} allows the dynamodb:CreateTable action"
            ));
            assert_eq!((implicit.policy.as_deref(), implicit.explicit), (Some(kind), false));
            assert!(implicit.hint().contains("elsewhere does not help"), "{}", implicit.hint());
            for named in ["", ": arn:aws:organizations::1:policy/o-a/service_control_policy/p-b"] {
                let explicit = said(&format!(
                    "dynamodb:CreateTable on resource: arn:aws:dynamodb:eu-west-1:1:table/t with \
                     an explicit deny in a {kind}{named}"
                ));
                assert_eq!((explicit.policy.as_deref(), explicit.explicit), (Some(kind), true));
                assert_eq!(explicit.resource, "arn:aws:dynamodb:eu-west-1:1:table/t");
                assert!(explicit.hint().contains("denies"), "{}", explicit.hint());
            }
        }
        let bare = said(
            "apigateway:POST on resource: arn:aws:apigateway:us-east-1::/apis with an explicit deny",
        );
        assert_eq!((bare.policy, bare.explicit), (None, true));
    }

    #[test]
    fn what_services_write_differently_is_understood() {
        let denial = said("apigateway:POST on resource: arn:aws:apigateway:us-east-1::/apis");
        assert_eq!(denial.resource, "arn:aws:apigateway:us-east-1::/apis");
        let denial = said(
            "apigateway:POST on resource: \
             arn:aws:apigateway:us-east-1::/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fv2%2Fapis%2F*",
        );
        assert_eq!(denial.resource, "arn:aws:apigateway:us-east-1::/tags/*");
        let denial = said(
            "iam:CreateRole on resource: role worker because no permissions boundary allows the iam:CreateRole action",
        );
        assert_eq!(denial.resource, "arn:aws:iam::123456789012:role/worker");
        let denial = said(
            "iam:CreatePolicyVersion on resource: policy arn:aws:iam::1:policy/p with an explicit deny in a permissions boundary: arn:aws:iam::1:policy/b",
        );
        assert_eq!(denial.resource, "arn:aws:iam::1:policy/p");
        let denial = said(
            "logs:CreateLogGroup on resource: arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:log-stream: because no identity-based policy allows the logs:CreateLogGroup action",
        );
        assert_eq!(denial.resource, "arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:*");
        let denial = said(
            "tag:GetResources because no identity-based policy allows the tag:GetResources action",
        );
        assert_eq!((denial.action.as_str(), denial.resource.as_str()), ("tag:GetResources", "*"));
        let denial = said(
            "kms:Decrypt on resource: arn:aws:kms:us-east-1:1:key/k because no identity-based policy allows the kms:Decrypt action. Encoded authorization failure message: ab-c_d",
        );
        assert_eq!(denial.resource, "arn:aws:kms:us-east-1:1:key/k");
        let denial = said(
            "ec2:RunInstances on resource: arn:aws:ec2:eu-west-1:1:instance/*. Encoded authorization failure message: xyz",
        );
        assert_eq!(denial.resource, "arn:aws:ec2:eu-west-1:1:instance/*");
        for nothing in [
            "Access Denied",
            "User: anonymous is not authorized to perform this",
            "",
            "not authorized to perform: ",
        ] {
            assert_eq!(Denial::said(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn where_the_text_says_nothing_the_call_does() {
        for (call, action, path) in [
            ("apigateway:CreateRoute", "apigateway:POST", "/apis/*/routes"),
            ("apigateway:UpdateStage", "apigateway:PATCH", "/apis/*/stages/*"),
            ("apigateway:DeleteApi", "apigateway:DELETE", "/apis/*"),
            ("apigateway:GetApis", "apigateway:GET", "/apis"),
        ] {
            let denial = Denial::of_call(call, "GET /x");
            let resource = format!("arn:aws:apigateway:*::{path}");
            assert_eq!((denial.action.as_str(), denial.resource), (action, resource));
        }
        // What no call of ours is named after stands for itself.
        assert_eq!(Denial::of_call("kms:Decrypt", "arn:k").resource, "arn:k");
        let denial = Denial::of_call("lambda:CreateFunction", "front");
        assert_eq!(
            (denial.action.as_str(), denial.resource.as_str()),
            ("lambda:CreateFunction", "*")
        );
    }

    #[test]
    fn many_become_one_policy_without_repetition() {
        let denial = said("tag:GetResources because no identity-based policy allows it");
        let denied = said(
            "sns:Subscribe on resource: arn:aws:sns:r:1:t with an explicit deny in a service control policy",
        );
        let policy = Denial::policy_for(&[denial.clone(), denied.clone(), denial]).unwrap();
        assert_eq!(policy["Statement"].as_array().map(Vec::len), Some(1));
        assert_eq!(Denial::policy_for(&[denied]), None);
    }
}
