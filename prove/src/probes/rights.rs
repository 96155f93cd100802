//! Rights: which a call needs, what hangs on tags, how soon they count.

use advent::aws::{ApiError, Call};
use anyhow::{Context as _, Result};
use aws_credential_types::Credentials;
use aws_sdk_apigatewayv2::types::ProtocolType;
use aws_sdk_iam::types::Tag;
use serde_json::{Value, json};

use crate::findings::Seen;
use crate::lab::{Lab, SECONDS, TAG, allow, lag, short, told, trust, until};

/// Clients that may do less than the person who runs this.
struct Operator {
    iam: aws_sdk_iam::Client,
    sns: aws_sdk_sns::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    apigateway: aws_sdk_apigatewayv2::Client,
}

/// A session of a role that may do no more than its policy and, if given, this one allow.
async fn operator(
    lab: &Lab,
    what: &str,
    policy: &Value,
    session: Option<&Value>,
) -> Result<Operator> {
    let account = &lab.cloud.names.account;
    let partition = &lab.cloud.names.partition;
    let mut trust = trust("");
    trust["Statement"][0]["Principal"] =
        json!({ "AWS": format!("arn:{partition}:iam::{account}:root") });
    let role = lab.role(what, &trust, policy).await?;
    assume(lab, &role, session).await
}

async fn assume(lab: &Lab, role: &str, session: Option<&Value>) -> Result<Operator> {
    let request = lab
        .cloud
        .sts
        .assume_role()
        .role_arn(role)
        .role_session_name("advent-prove")
        .duration_seconds(900)
        .set_policy(session.map(ToString::to_string));
    let assume = || Call::plain("sts:AssumeRole", role).send(|| request.clone().send());
    let passes = |error: &ApiError| error.is_denied() || error.is_not_found();
    let answer = until(lab.bound(SECONDS), assume, passes).await.ok()?;
    let keys = answer.credentials.context("AssumeRole gave no credentials")?;
    let credentials = Credentials::new(
        keys.access_key_id,
        keys.secret_access_key,
        Some(keys.session_token),
        None,
        "advent-prove",
    );
    let cloud = &lab.cloud;
    macro_rules! client {
        ($krate:ident, $client:expr) => {{
            let config = $client.config().to_builder().credentials_provider(credentials.clone());
            $krate::Client::from_conf(config.build())
        }};
    }
    Ok(Operator {
        iam: client!(aws_sdk_iam, cloud.iam),
        sns: client!(aws_sdk_sns, cloud.sns),
        logs: client!(aws_sdk_cloudwatchlogs, cloud.logs),
        apigateway: client!(aws_sdk_apigatewayv2, cloud.apigateway),
    })
}

impl Operator {
    /// Whether what was not allowed is refused. Emulators mostly allow everything.
    async fn is_bound(&self) -> bool {
        let list = || self.sns.list_topics().send();
        let answer = Call::plain("sns:ListTopics", "the restricted session").send(list).await;
        answer.is_err_and(|error| error.is_denied())
    }
}

const UNBOUND: &str =
    "rights are not enforced here: a session may do what its policy does not allow";

pub(super) async fn by_tag(lab: &Lab) -> Result<Seen> {
    let names = &lab.cloud.names;
    let own = lab.name("");
    let by_tag = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": ["iam:DeleteRole", "sns:DeleteTopic", "logs:DeleteLogGroup"],
        "Resource": [
            format!("arn:{}:iam::{}:role/{own}*", names.partition, names.account),
            names.topic_arn(&format!("{own}*")),
            format!("{}:*", names.log_group_arn(&format!("/aws/lambda/{own}*"))),
            names.log_group_arn(&format!("/aws/lambda/{own}*")),
        ],
        "Condition": { "StringEquals": { format!("aws:ResourceTag/{TAG}"): lab.id } },
    }] });
    let operator = operator(lab, "by-tag", &by_tag, None).await?;
    if !operator.is_bound().await {
        return Ok(Seen::untried(UNBOUND));
    }
    let passes = |error: &ApiError| error.is_denied() || error.is_not_found();
    let patience = lab.bound(SECONDS);

    let role = lab.name("tagged");
    let tag = Tag::builder().key(TAG).value(&lab.id).build()?;
    let create = lab
        .cloud
        .iam
        .create_role()
        .role_name(&role)
        .assume_role_policy_document(trust("lambda.amazonaws.com").to_string())
        .tags(tag);
    Call::plain("iam:CreateRole", &role).send(|| create.clone().send()).await?;
    let delete = operator.iam.delete_role().role_name(&role);
    let delete = || Call::plain("iam:DeleteRole", &role).send(|| delete.clone().send());
    let role = until(patience, delete, passes).await;

    let topic = lab.topic("tagged").await?;
    let delete = operator.sns.delete_topic().topic_arn(&topic);
    let delete = || Call::plain("sns:DeleteTopic", &topic).send(|| delete.clone().send());
    let topic = until(patience, delete, passes).await;

    let group = lab.log_group(&lab.name("tagged")).await?;
    let delete = operator.logs.delete_log_group().log_group_name(&group);
    let delete = || Call::plain("logs:DeleteLogGroup", &group).send(|| delete.clone().send());
    let group = until(patience, delete, passes).await;

    let text =
        format!("role {} | topic {} | log group {}", role.told(), topic.told(), group.told());
    Ok(Seen::that(role.result.is_ok() && topic.result.is_ok() && group.result.is_ok(), text))
}

pub(super) async fn api_tags(lab: &Lab) -> Result<Seen> {
    let region = &lab.cloud.names.region;
    let arn = |path: &str| format!("arn:{}:apigateway:{region}::{path}", lab.cloud.names.partition);
    let both = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "apigateway:POST", "Resource": [arn("/apis"), arn("/tags/*")] } ] });
    let without = allow(&["apigateway:POST"], &arn("/apis"));
    let refused = operator(lab, "api-tags", &both, Some(&without)).await?;
    if !refused.is_bound().await {
        return Ok(Seen::untried(UNBOUND));
    }
    let create = |client: &aws_sdk_apigatewayv2::Client, what: &str| {
        let name = lab.name(what);
        let request = client
            .create_api()
            .name(&name)
            .protocol_type(ProtocolType::Http)
            .set_tags(Some(lab.tags()));
        async move {
            Call::plain("apigateway:CreateApi", &name)
                .once()
                .send(|| request.clone().send())
                .await
                .map(drop)
        }
    };
    let first = create(&refused.apigateway, "api-tags-without").await;
    let role = format!(
        "arn:{}:iam::{}:role/{}",
        lab.cloud.names.partition,
        lab.cloud.names.account,
        lab.name("api-tags")
    );
    let allowed = assume(lab, &role, None).await?;
    let second = until(
        lab.bound(SECONDS),
        || create(&allowed.apigateway, "api-tags-with"),
        ApiError::is_denied,
    )
    .await;
    let held = first.as_ref().is_err_and(ApiError::is_denied) && second.result.is_ok();
    let without = first.map_or_else(|error| short(&error), |()| "accepted".to_owned());
    Ok(Seen::that(held, format!("without: {without} | with: {}", second.told())))
}

pub(super) async fn propagation(lab: &Lab) -> Result<Seen> {
    let topic = lab.topic("rights").await?;
    let name = lab.name("rights");
    // Something has to be allowed, or there would be no policy.
    let nothing = allow(&["sns:GetEndpointAttributes"], &topic);
    let operator = operator(lab, "rights", &nothing, None).await?;
    if !operator.is_bound().await {
        return Ok(Seen::untried(UNBOUND));
    }
    let allowed = || async {
        let get = operator.sns.get_topic_attributes().topic_arn(&topic);
        match Call::plain("sns:GetTopicAttributes", &topic).send(|| get.clone().send()).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error),
        }
    };
    let put = |policy: Value| {
        let request = lab
            .cloud
            .iam
            .put_role_policy()
            .role_name(&name)
            .policy_name("prove")
            .policy_document(policy.to_string());
        let name = &name;
        async move {
            Call::plain("iam:PutRolePolicy", name).send(|| request.clone().send()).await.map(drop)
        }
    };
    put(allow(&["sns:GetTopicAttributes"], &topic)).await?;
    let given = lag(lab.bound(SECONDS), allowed).await?;
    put(nothing).await?;
    let refused = || async { allowed().await.map(|allowed| !allowed) };
    let taken = lag(lab.bound(SECONDS), refused).await?;
    let text =
        format!("the right counts {}, taken away it counts no longer {}", told(given), told(taken));
    Ok(Seen::that(given.is_some() && taken.is_some(), text))
}
