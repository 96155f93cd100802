//! Topics, subscriptions, and messages on their way to functions.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry, Tag};
use serde_json::{Value, json};

use super::functions::{function_arn, lines};
use super::{Here, refusal};

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:t";

impl Here {
    fn sns(&self) -> Client {
        Client::new(&self.operator())
    }

    async fn permit(&self, function: &str, topic: &str) {
        aws_sdk_lambda::Client::new(&self.operator())
            .add_permission()
            .function_name(function)
            .statement_id(topic.rsplit(':').next().unwrap())
            .action("lambda:InvokeFunction")
            .principal("sns.amazonaws.com")
            .source_arn(topic)
            .send()
            .await
            .unwrap();
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_once_and_with_its_tags() {
    let here = Here::start();
    let sns = here.sns();
    let create = |value: &str| sns.create_topic().name("t").tags(tag("a", value));
    assert_eq!(create("1").send().await.unwrap().topic_arn(), Some(TOPIC));
    create("1").send().await.unwrap();
    let (code, text) = refusal(create("2").send().await);
    assert_eq!(code, "InvalidParameter");
    assert_eq!(text, "Invalid parameter: Tags Reason: Topic already exists with different tags");
    sns.create_topic().name("t").send().await.unwrap();
    assert_eq!(refusal(sns.create_topic().name("a.b").send().await).0, "InvalidParameter");

    let here = here.restarted();
    let sns = here.sns();
    let tags = || sns.list_tags_for_resource().resource_arn(TOPIC).send();
    assert_eq!(tags().await.unwrap().tags(), [tag("a", "1")]);
    sns.tag_resource().resource_arn(TOPIC).tags(tag("b", "2")).send().await.unwrap();
    sns.untag_resource().resource_arn(TOPIC).tag_keys("a").send().await.unwrap();
    assert_eq!(tags().await.unwrap().tags(), [tag("b", "2")]);
    let attributes = || sns.get_topic_attributes().topic_arn(TOPIC).send();
    assert_eq!(attributes().await.unwrap().attributes().unwrap()["Owner"], "000000000000");
    sns.delete_topic().topic_arn(TOPIC).send().await.unwrap();
    sns.delete_topic().topic_arn(TOPIC).send().await.unwrap();
    assert_eq!(refusal(attributes().await).0, "NotFound");
    assert_eq!(refusal(tags().await).0, "ResourceNotFound");
    let (code, _) = refusal(sns.publish().topic_arn(TOPIC).message("m").send().await);
    assert_eq!(code, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_made_once() {
    let here = Here::start();
    let sns = here.sns();
    sns.create_topic().name("t").send().await.unwrap();
    let subscribe = || {
        sns.subscribe()
            .topic_arn(TOPIC)
            .protocol("lambda")
            .endpoint(function_arn("f"))
            .return_subscription_arn(true)
    };
    let arn = subscribe().send().await.unwrap().subscription_arn.unwrap();
    assert_eq!(subscribe().send().await.unwrap().subscription_arn.unwrap(), arn);
    let (code, text) = refusal(subscribe().attributes("FilterPolicy", "{\"a\":[1]}").send().await);
    assert_eq!(code, "InvalidParameter");
    assert!(text.ends_with("Subscription already exists with different attributes"), "{text}");
    let all = sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
    assert_eq!(all.subscriptions()[0].subscription_arn(), Some(arn.as_str()));
    let read = || sns.get_subscription_attributes().subscription_arn(&arn).send();
    assert_eq!(read().await.unwrap().attributes().unwrap()["Protocol"], "lambda");
    let (code, _) = refusal(subscribe().protocol("sqs").send().await);
    assert_eq!(code, "InvalidParameter");
    sns.unsubscribe().subscription_arn(&arn).send().await.unwrap();
    sns.unsubscribe().subscription_arn(&arn).send().await.unwrap();
    assert_eq!(refusal(read().await).0, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_every_function_that_may_get_it() {
    let here = Here::start();
    here.role().await;
    let sns = here.sns();
    sns.create_topic().name("t").send().await.unwrap();
    let (path, record) = here.record();
    let files: Vec<_> = ["f", "g", "denied"].map(|name| format!("{record}-{name}")).into();
    for (name, file) in ["f", "g", "denied"].into_iter().zip(&files) {
        here.create_function(name, &[("RECORD", file)]).await;
        sns.subscribe()
            .topic_arn(TOPIC)
            .protocol("lambda")
            .endpoint(function_arn(name))
            .send()
            .await
            .unwrap();
    }
    here.permit("f", TOPIC).await;
    here.permit("g", TOPIC).await;
    here.permit("denied", "arn:aws:sns:us-east-1:000000000000:other").await;
    let text = "a & b + c % d # \u{1F384}";
    let value = MessageAttributeValue::builder().data_type("String").string_value("v").build();
    let sent = sns
        .publish()
        .topic_arn(TOPIC)
        .message(text)
        .message_attributes("k", value.unwrap())
        .send()
        .await
        .unwrap();
    let mut subscriptions = Vec::new();
    for file in &files[..2] {
        let events = lines(file.as_ref(), 1).await;
        assert_eq!(events.len(), 1);
        let record = &events[0]["Records"][0];
        let notice = &record["Sns"];
        assert_eq!(record["EventSource"], "aws:sns");
        assert_eq!((&notice["Message"], &notice["Subject"]), (&json!(text), &Value::Null));
        assert_eq!(notice["MessageId"].as_str(), sent.message_id());
        assert_eq!(notice["TopicArn"], TOPIC);
        assert_eq!(notice["MessageAttributes"], json!({"k": {"Type": "String", "Value": "v"}}));
        subscriptions.push(record["EventSubscriptionArn"].clone());
    }
    assert_ne!(subscriptions[0], subscriptions[1]);

    for (message, text) in [("", "Empty message"), (&"x".repeat(262_145), "too long")] {
        let (code, said) = refusal(sns.publish().topic_arn(TOPIC).message(message).send().await);
        assert_eq!(code, "InvalidParameter");
        assert!(said.contains(text), "{said}");
    }
    let entry = |id: &str, message: &str| {
        PublishBatchRequestEntry::builder().id(id).message(message).build().unwrap()
    };
    let batch = sns
        .publish_batch()
        .topic_arn(TOPIC)
        .publish_batch_request_entries(entry("1", "one"))
        .publish_batch_request_entries(entry("2", ""))
        .send()
        .await
        .unwrap();
    assert_eq!((batch.successful().len(), batch.failed()[0].id()), (1, "2"));
    assert_eq!(lines(files[0].as_ref(), 2).await[1]["Records"][0]["Sns"]["Message"], "one");
    assert!(!std::path::Path::new(&files[2]).exists(), "{}", path.display());

    let as_function = Client::new(&here.function("runs"));
    let (code, said) = refusal(as_function.publish().topic_arn(TOPIC).message("m").send().await);
    assert_eq!(code, "AuthorizationError");
    assert!(said.contains("is not authorized to perform: sns:Publish on resource: arn:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_policy_chooses_messages() {
    let here = Here::start();
    here.role().await;
    let sns = here.sns();
    sns.create_topic().name("t").send().await.unwrap();
    let (path, record) = here.record();
    here.create_function("f", &[("RECORD", &record)]).await;
    here.permit("f", TOPIC).await;
    let subscribe = sns.subscribe().topic_arn(TOPIC).protocol("lambda").endpoint(function_arn("f"));
    let arn = subscribe
        .attributes("FilterPolicy", r#"{"kind": ["wanted"]}"#)
        .send()
        .await
        .unwrap()
        .subscription_arn
        .unwrap();
    for (kind, message) in [("other", "first"), ("wanted", "second")] {
        let value = MessageAttributeValue::builder().data_type("String").string_value(kind);
        sns.publish()
            .topic_arn(TOPIC)
            .message(message)
            .message_attributes("kind", value.build().unwrap())
            .send()
            .await
            .unwrap();
    }
    assert_eq!(lines(&path, 1).await[0]["Records"][0]["Sns"]["Message"], "second");
    sns.set_subscription_attributes()
        .subscription_arn(arn)
        .attribute_name("FilterPolicy")
        .attribute_value("{}")
        .send()
        .await
        .unwrap();
    sns.publish().topic_arn(TOPIC).message("third").send().await.unwrap();
    let found = lines(&path, 2).await;
    assert_eq!((found.len(), &found[1]["Records"][0]["Sns"]["Message"]), (2, &json!("third")));
}
