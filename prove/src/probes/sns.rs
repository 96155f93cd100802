//! Topics, subscriptions and what may be delivered.

use std::time::Instant;

use advent::aws::{ApiError, Call};
use anyhow::Result;

use crate::findings::Seen;
use crate::lab::{Lab, MINUTES, SECONDS, lag, seconds, short, told, until};

/// Two functions would cost a second role: the same function, first with one permission, then with
/// the other.
pub(super) async fn source_account(lab: &Lab) -> Result<Seen> {
    let shared = lab.shared().await?;
    let topic = lab.topic("source").await?;
    let request = lab
        .cloud
        .lambda
        .add_permission()
        .function_name(&shared.function)
        .statement_id("account")
        .action("lambda:InvokeFunction")
        .principal("sns.amazonaws.com")
        .source_arn(&topic)
        .source_account(&lab.cloud.names.account);
    Call::plain("lambda:AddPermission", &shared.function).send(|| request.clone().send()).await?;
    lab.subscribe(&topic, &shared.function).await?;
    let (first, second) = (format!("mark-account-{}", lab.id), format!("mark-arn-{}", lab.id));
    lab.publish(&topic, &first).await?;
    let delivered = lab.logged(&shared.function, &first, SECONDS).await?;
    lab.permit(&shared.function, "arn", "sns.amazonaws.com", &topic).await?;
    // SNS tries again for hours what was refused: only the second message is the control.
    lab.publish(&topic, &second).await?;
    let control = lab.logged(&shared.function, &second, MINUTES).await?;
    Ok(match (delivered, control) {
        (None, Some(after)) => Seen::held(format!(
            "not delivered with SourceAccount; delivered {} once SourceArn alone allows it",
            told(Some(after))
        )),
        (Some(after), _) => {
            Seen::differs(format!("delivered with SourceAccount {}", told(Some(after))))
        }
        (None, None) => Seen::untried("no message was delivered, with SourceArn alone neither"),
    })
}

pub(super) async fn tags(lab: &Lab) -> Result<Seen> {
    let topic = lab.topic("tags").await?;
    let same = lab.topic("tags").await?;
    let name = lab.name("tags");
    let request = lab.cloud.sns.create_topic().name(&name).tags(Lab::topic_tag("another")?);
    let other = Call::plain("sns:CreateTopic", &name).send(|| request.clone().send()).await;
    let refused = other
        .map(|_| "accepted".to_owned())
        .map_err(|error| (error.is("InvalidParameter"), short(&error)));
    Ok(match refused {
        Ok(_) => Seen::differs("other tags are accepted"),
        Err((expected, text)) => Seen::that(
            same == topic && expected,
            format!(
                "same tags: {}; other tags: {text}",
                if same == topic { "adopted" } else { "another topic" }
            ),
        ),
    })
}

pub(super) async fn empty(lab: &Lab) -> Result<Seen> {
    let topic = lab.topic("empty").await?;
    Ok(match lab.publish(&topic, "").await {
        Ok(()) => Seen::differs("accepted"),
        Err(error) => Seen::that(
            error.is("InvalidParameter") && error.message.contains("Empty message"),
            short(&error),
        ),
    })
}

pub(super) async fn subscribe_early(lab: &Lab) -> Result<Seen> {
    let shared = lab.shared().await?;
    let mut all = Vec::new();
    let mut held = true;
    for number in 0..lab.tries() {
        let topic = lab.topic(&format!("early-{number}")).await?;
        let subscribe = || lab.subscribe(&topic, &shared.function);
        let accepted = until(lab.bound(SECONDS), subscribe, ApiError::is_not_found).await;
        let listed = if accepted.result.is_ok() {
            lag(lab.bound(SECONDS), || listed(lab, &topic)).await?
        } else {
            None
        };
        held &= accepted.result.is_ok() && listed.is_some();
        all.push(format!("{}, listed {}", accepted.told(), told(listed)));
    }
    Ok(Seen::that(held, all.join(" | ")))
}

/// Whether a topic's list has a subscription with an ARN.
async fn listed(lab: &Lab, topic: &str) -> Result<bool, ApiError> {
    let list = lab.cloud.sns.list_subscriptions_by_topic().topic_arn(topic);
    let answer =
        Call::plain("sns:ListSubscriptionsByTopic", topic).send(|| list.clone().send()).await?;
    Ok(answer.subscriptions().iter().any(|subscription| {
        subscription.subscription_arn().is_some_and(|arn| arn.starts_with("arn:"))
    }))
}

pub(super) async fn again(lab: &Lab) -> Result<Seen> {
    let topic = lab.topic("again").await?;
    let begun = Instant::now();
    let delete = lab.cloud.sns.delete_topic().topic_arn(&topic);
    Call::plain("sns:DeleteTopic", &topic).send(|| delete.clone().send()).await?;
    let name = lab.name("again");
    // Another second tag: the first is what the final search goes by.
    let request = lab
        .cloud
        .sns
        .create_topic()
        .name(&name)
        .tags(Lab::topic_tag(&lab.id)?)
        .tags(aws_sdk_sns::types::Tag::builder().key("round").value("2").build()?);
    let create = || Call::plain("sns:CreateTopic", &name).send(|| request.clone().send());
    let passes = |error: &ApiError| {
        error.is("StaleTag") || error.is("ConcurrentAccess") || error.is("InvalidParameter")
    };
    let accepted = until(lab.bound(SECONDS), create, passes).await;
    let text =
        format!("{} ({} after DeleteTopic was sent)", accepted.told(), seconds(begun.elapsed()));
    Ok(Seen::that(accepted.result.is_ok(), text))
}
