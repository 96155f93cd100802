//! What comes to light later than it happens, and what may not be changed yet.

use advent::aws::{ApiError, Call};
use anyhow::Result;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    Tag, TimeToLiveSpecification,
};
use serde_json::json;

use crate::findings::Seen;
use crate::lab::{Lab, MINUTES, SECONDS, TAG, lag, seconds, short, told, until};

pub(super) async fn ttl(lab: &Lab) -> Result<Seen> {
    let name = lab.name("ttl");
    let dynamodb = &lab.cloud.dynamodb;
    let attribute = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S)
        .build()?;
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build()?;
    let create = dynamodb
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute)
        .key_schema(key)
        .tags(Tag::builder().key(TAG).value(&lab.id).build()?);
    Call::plain("dynamodb:CreateTable", &name).send(|| create.clone().send()).await?;
    let active = || async {
        let get = dynamodb.describe_table().table_name(&name);
        let answer =
            Call::plain("dynamodb:DescribeTable", &name).send(|| get.clone().send()).await?;
        Ok(answer.table.is_some_and(|table| table.table_status == Some(TableStatus::Active)))
    };
    let ready = lag(lab.bound(MINUTES), active).await?;
    let set = |attribute: &'static str| {
        let specification =
            TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build();
        let request = specification.map(|specification| {
            dynamodb
                .update_time_to_live()
                .table_name(&name)
                .time_to_live_specification(specification)
        });
        let name = &name;
        async move {
            let request = request?;
            let call = Call::plain("dynamodb:UpdateTimeToLive", name);
            Ok::<_, anyhow::Error>(call.send(|| request.clone().send()).await.map(drop))
        }
    };
    set("first").await??;
    Ok(match set("second").await? {
        Ok(()) => Seen::differs(format!("accepted (the table was ACTIVE {})", told(ready))),
        Err(error) => Seen::that(
            error.is("Validation"),
            format!("{} (the table was ACTIVE {})", short(&error), told(ready)),
        ),
    })
}

pub(super) async fn retention(lab: &Lab) -> Result<Seen> {
    let (mut all, mut held) = (Vec::new(), true);
    for number in 0..lab.tries() {
        let group = lab.log_group(&lab.name(&format!("retention-{number}"))).await?;
        let request =
            lab.cloud.logs.put_retention_policy().log_group_name(&group).retention_in_days(1);
        let put = || Call::plain("logs:PutRetentionPolicy", &group).send(|| request.clone().send());
        let accepted =
            until(lab.bound(SECONDS), put, |error: &ApiError| error.is_not_found()).await;
        held &= accepted.result.is_ok();
        all.push(accepted.told());
    }
    Ok(Seen::that(held, all.join(" | ")))
}

pub(super) async fn logs(lab: &Lab) -> Result<Seen> {
    let function = &lab.shared().await?.function;
    let mut all = Vec::new();
    let mut held = true;
    for number in 0..lab.tries().min(3) {
        let mark = format!("mark-log-{number}-{}", lab.id);
        let (error, payload) = lab.invoke(function, &json!({ "mark": mark })).await?;
        if let Some(error) = error {
            return Ok(Seen::untried(format!("the function fails: {error} {payload}")));
        }
        if !payload.contains(&mark) {
            return Ok(Seen::untried("functions do not really run here"));
        }
        let found = lab.logged(function, &mark, MINUTES).await?;
        held &= found.is_some();
        all.push(told(found));
    }
    Ok(Seen::that(held, all.join(" | ")))
}

pub(super) async fn tagging(lab: &Lab) -> Result<Seen> {
    let topic = lab.topic("tagging").await?;
    let indexed = || async {
        let known = crate::sweep::indexed(&lab.cloud, TAG, &lab.id).await?;
        Ok(known.contains(&topic))
    };
    let known = lag(lab.bound(MINUTES), indexed).await?;
    let delete = lab.cloud.sns.delete_topic().topic_arn(&topic);
    Call::plain("sns:DeleteTopic", &topic).send(|| delete.clone().send()).await?;
    let begun = std::time::Instant::now();
    let forgotten =
        lag(lab.bound(MINUTES), || async { indexed().await.map(|known| !known) }).await?;
    let text = format!(
        "known {}, forgotten {} (looked for {})",
        told(known),
        told(forgotten),
        seconds(begun.elapsed())
    );
    Ok(Seen::that(known.is_some() && forgotten.is_some(), text))
}
