//! Log groups, streams and events through AWS's client.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use serde_json::json;

use super::*;
use crate::local::clock::now_ms;
use crate::local::logs::{LogLine, append};

const GROUP: &str = "/aws/lambda/f";

fn event(timestamp: i64, message: &str) -> InputLogEvent {
    InputLogEvent::builder().timestamp(timestamp).message(message).build().unwrap()
}

async fn with_group(here: &Here) -> Client {
    let logs = Client::new(&here.operator());
    logs.create_log_group().log_group_name(GROUP).tags("a", "b").send().await.unwrap();
    logs
}

#[tokio::test]
async fn groups_keep_retention_and_tags() {
    let here = Here::start();
    let logs = with_group(&here).await;
    logs.put_retention_policy().log_group_name(GROUP).retention_in_days(14).send().await.unwrap();
    let here = here.restarted();
    let logs2 = Client::new(&here.operator());
    drop(logs);
    let logs = logs2;
    let groups = logs.describe_log_groups().log_group_name_prefix("/aws").send().await.unwrap();
    let group = &groups.log_groups()[0];
    assert_eq!(group.retention_in_days(), Some(14));
    assert_eq!(group.arn().unwrap(), format!("{}:*", group.log_group_arn().unwrap()));
    let arn = group.log_group_arn().unwrap();
    logs.tag_resource().resource_arn(arn).tags("c", "d").send().await.unwrap();
    logs.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
    let tags = logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags, [("c".to_owned(), "d".to_owned())].into());

    assert_eq!(
        refusal(logs.create_log_group().log_group_name(GROUP).send().await),
        (
            "ResourceAlreadyExistsException".to_owned(),
            "The specified log group already exists".to_owned()
        )
    );
    let odd = logs.put_retention_policy().log_group_name(GROUP).retention_in_days(2);
    assert_eq!(refusal(odd.send().await).0, "InvalidParameterException");
    logs.delete_retention_policy().log_group_name(GROUP).send().await.unwrap();
    logs.delete_log_group().log_group_name(GROUP).send().await.unwrap();
    assert_eq!(
        refusal(logs.delete_log_group().log_group_name(GROUP).send().await).0,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn events_are_found_by_time_stream_and_term() {
    let here = Here::start();
    let logs = with_group(&here).await;
    let now = now_ms();
    for stream in ["s", "t"] {
        logs.create_log_stream()
            .log_group_name(GROUP)
            .log_stream_name(stream)
            .send()
            .await
            .unwrap();
        let put = logs.put_log_events().log_group_name(GROUP).log_stream_name(stream);
        let events = (0..5).map(|i| event(now + i, &format!("{stream}{i} ü")));
        put.set_log_events(Some(events.collect())).send().await.unwrap();
    }
    let filter = || logs.filter_log_events().log_group_name(GROUP);
    let mut found = Vec::new();
    let mut pages = filter().limit(3).into_paginator().send();
    while let Some(page) = pages.next().await {
        found.extend(page.unwrap().events.unwrap().into_iter().map(|e| e.message.unwrap()));
    }
    assert_eq!(found.len(), 10);
    assert_eq!(found[..4], ["s0 ü", "t0 ü", "s1 ü", "t1 ü"]);
    let some = filter().start_time(now + 1).end_time(now + 4).filter_pattern("?s ?t2").send();
    let some: Vec<_> =
        some.await.unwrap().events.unwrap().into_iter().map(|e| e.message.unwrap()).collect();
    assert_eq!(some, ["s1 ü", "s2 ü", "t2 ü", "s3 ü"]);
    let of_one = filter().log_stream_names("t").send().await.unwrap().events.unwrap();
    assert_eq!(of_one.len(), 5);

    let get = || logs.get_log_events().log_group_name(GROUP).log_stream_name("s");
    let texts = |output: &aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput| {
        output.events().iter().map(|e| e.message().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let last = get().limit(2).send().await.unwrap();
    assert_eq!(texts(&last), ["s3 ü", "s4 ü"]);
    let before =
        get().limit(2).next_token(last.next_backward_token().unwrap()).send().await.unwrap();
    assert_eq!(texts(&before), ["s1 ü", "s2 ü"]);
    let end = get().next_token(last.next_forward_token().unwrap()).send().await.unwrap();
    assert!(end.events().is_empty());
    assert_eq!(end.next_forward_token(), last.next_forward_token());
    // What comes later is found from there.
    let put = logs.put_log_events().log_group_name(GROUP).log_stream_name("s");
    put.log_events(event(now + 9, "later")).send().await.unwrap();
    let later = get().next_token(end.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(texts(&later), ["later"]);
}

#[tokio::test]
async fn what_logs_refuses() {
    let here = Here::start();
    let logs = with_group(&here).await;
    let now = now_ms();
    let put = |stream: &str| logs.put_log_events().log_group_name(GROUP).log_stream_name(stream);
    assert_eq!(
        refusal(put("absent").log_events(event(now, "a")).send().await),
        (
            "ResourceNotFoundException".to_owned(),
            "The specified log stream does not exist.".to_owned()
        )
    );
    logs.create_log_stream().log_group_name(GROUP).log_stream_name("s").send().await.unwrap();
    let backwards = put("s").log_events(event(now, "a")).log_events(event(now - 1, "b"));
    assert_eq!(refusal(backwards.send().await).0, "InvalidParameterException");
    let large = put("s").log_events(event(now, &"a".repeat(1 << 20)));
    assert!(refusal(large.send().await).1.contains("Upload too large"));
    let ages = put("s")
        .log_events(event(now - 20 * 86_400_000, "old"))
        .log_events(event(now, "now"))
        .log_events(event(now + 3 * 3_600_000, "new"));
    let rejected = ages.send().await.unwrap().rejected_log_events_info.unwrap();
    assert_eq!(rejected.too_old_log_event_end_index, Some(1));
    assert_eq!(rejected.too_new_log_event_start_index, Some(2));
    let json = logs.filter_log_events().log_group_name(GROUP).filter_pattern("{ $.a = 1 }");
    assert_eq!(refusal(json.send().await).0, "InvalidParameterException");
    let absent = logs.filter_log_events().log_group_name("absent").send().await;
    assert_eq!(refusal(absent).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn lines_are_appended_only_where_there_is_a_group() {
    let here = Here::start();
    let cloud = here.server.cloud();
    let line = LogLine { timestamp_ms: now_ms(), message: "hello".to_owned() };
    let lines = [line];
    assert!(!append(cloud, crate::local::REGION, GROUP, "s", &lines).unwrap());
    let logs = with_group(&here).await;
    assert!(append(cloud, crate::local::REGION, GROUP, "s", &lines).unwrap());
    assert!(append(cloud, crate::local::REGION, GROUP, "s", &lines).unwrap());
    assert!(!append(cloud, "eu-west-1", GROUP, "s", &lines).unwrap());
    let found = logs.filter_log_events().log_group_name(GROUP).send().await.unwrap();
    assert_eq!(found.events().len(), 2);
    // A group made anew does not have the old one's events.
    logs.delete_log_group().log_group_name(GROUP).send().await.unwrap();
    with_group(&here).await;
    let streams = logs.describe_log_streams().log_group_name(GROUP).send().await.unwrap();
    assert!(streams.log_streams().is_empty());
}

#[tokio::test]
async fn a_function_needs_permission() {
    let here = Here::start();
    with_group(&here).await;
    let own = format!("arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}:*");
    let policy = json!({"Statement": {"Effect": "Allow", "Resource": own,
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"]}});
    create_role(&here.operator(), "r", policy).await;
    let logs = Client::new(&here.function("r"));
    logs.create_log_stream().log_group_name(GROUP).log_stream_name("s").send().await.unwrap();
    let refused = refusal(logs.create_log_group().log_group_name("/other").send().await);
    assert_eq!(refused.0, "AccessDeniedException");
    assert!(refused.1.contains("not authorized to perform: logs:CreateLogGroup"), "{}", refused.1);
}

#[tokio::test]
async fn events_expire_with_the_retention() {
    let here = Here::start();
    let logs = with_group(&here).await;
    let cloud = here.server.cloud();
    let line = |age_days: i64| LogLine {
        timestamp_ms: now_ms() - age_days * 86_400_000,
        message: format!("{age_days} days"),
    };
    append(cloud, crate::local::REGION, GROUP, "s", &[line(5), line(1)]).unwrap();
    logs.put_retention_policy().log_group_name(GROUP).retention_in_days(3).send().await.unwrap();
    crate::local::logs::expire(cloud).unwrap();
    logs.delete_retention_policy().log_group_name(GROUP).send().await.unwrap();
    let found = logs.filter_log_events().log_group_name(GROUP).send().await.unwrap();
    assert_eq!(found.events().len(), 1);
    assert_eq!(found.events()[0].message(), Some("1 days"));
}
