//! The tagging API over what the services hold.

use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::*;

#[tokio::test]
async fn resources_are_found_by_tag_and_type() {
    let here = Here::start();
    let logs = aws_sdk_cloudwatchlogs::Client::new(&here.operator());
    for (name, tag) in [("/a", "1"), ("/b", "1"), ("/c", "2")] {
        logs.create_log_group().log_group_name(name).tags("stack", tag).send().await.unwrap();
    }
    logs.create_log_group().log_group_name("/untagged").send().await.unwrap();
    let iam = aws_sdk_iam::Client::new(&here.operator());
    iam.create_role()
        .role_name("r")
        .assume_role_policy_document(TRUST)
        .tags(aws_sdk_iam::types::Tag::builder().key("stack").value("1").build().unwrap())
        .send()
        .await
        .unwrap();

    let tagging = Client::new(&here.operator());
    let filter = TagFilter::builder().key("stack").values("1").build();
    let mut found = Vec::new();
    let mut pages =
        tagging.get_resources().tag_filters(filter).resources_per_page(1).into_paginator().send();
    while let Some(page) = pages.next().await {
        let list = page.unwrap().resource_tag_mapping_list.unwrap_or_default();
        found.extend(list.into_iter().map(|mapping| mapping.resource_arn.unwrap()));
    }
    let arn = |name| format!("arn:aws:logs:us-east-1:000000000000:log-group:{name}");
    assert_eq!(found, [arn("/a"), arn("/b")]);
    let typed = |kind: &str| tagging.get_resources().resource_type_filters(kind).send();
    assert_eq!(typed("logs:log-group").await.unwrap().resource_tag_mapping_list().len(), 3);
    assert!(typed("sns").await.unwrap().resource_tag_mapping_list().is_empty());
}
