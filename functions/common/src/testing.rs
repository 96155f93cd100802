//! For tests: a real `DynamoDB` engine in process, an SNS that can fail, and a Slack that can do worse.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod slack;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_types::{SdkConfig, region::Region};
use axum::{Router, http::StatusCode, response::IntoResponse, routing::post};
use lambda_runtime::Context;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::connections::Connections;
pub use slack::{Mood, Post, Slack};

/// A table in an engine that this process serves on a loopback port.
pub struct Table {
    pub client: aws_sdk_dynamodb::Client,
    pub url: String,
    pub name: &'static str,
    key: &'static str,
}

impl Table {
    pub async fn new(key: &'static str) -> Self {
        let database = dynoxide::Database::memory().expect("an engine");
        let (listener, url) = listen().await;
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        let client = aws_sdk_dynamodb::Client::new(&config(&url));
        let attribute = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let schema =
            KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build();
        client
            .create_table()
            .table_name("table")
            .attribute_definitions(attribute.expect("an attribute"))
            .key_schema(schema.expect("a key"))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .expect("a table");
        Self { client, url, name: "table", key }
    }

    /// An attribute's text or number.
    pub async fn get(&self, key: &str, attribute: &str) -> Option<String> {
        let item = self
            .client
            .get_item()
            .table_name(self.name)
            .key(self.key, AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .expect("a read")
            .item?;
        match item.get(attribute)? {
            AttributeValue::S(value) | AttributeValue::N(value) => Some(value.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub async fn count(&self, word: &str) -> u64 {
        let count = self.get(word, "count").await;
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    /// Every key, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let items = self.client.scan().table_name(self.name).into_paginator().items().send();
        let items = items.collect::<Result<Vec<_>, _>>().await.expect("a scan");
        let mut keys: Vec<_> =
            items.iter().map(|item| item[self.key].as_s().expect("text").clone()).collect();
        keys.sort();
        keys
    }
}

/// Takes publications, and fails the next ones when told to.
#[derive(Clone, Default)]
pub struct Sns {
    pub url: String,
    published: Arc<Mutex<Vec<Published>>>,
    failures: Arc<AtomicUsize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub text: String,
    pub id: String,
}

pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:awsadvent";

impl Sns {
    pub async fn new() -> Self {
        let (listener, url) = listen().await;
        let sns = Self { url, ..Self::default() };
        let handler = sns.clone();
        let answer = move |body: String| async move { handler.answer(&body) };
        let app = Router::new().route("/", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        sns
    }

    pub fn client(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&config(&self.url))
    }

    pub fn fail(&self, times: usize) {
        self.failures.store(times, Ordering::SeqCst);
    }

    pub fn published(&self) -> Vec<Published> {
        self.published.lock().expect("a lock").clone()
    }

    fn answer(&self, body: &str) -> impl IntoResponse + use<> {
        let form = crate::slack::Form::parse(body.as_bytes()).expect("a form");
        let get = |name| form.get(name).unwrap_or_default().to_owned();
        assert_eq!(get("Action"), "Publish");
        assert_eq!(get("TopicArn"), TOPIC);
        assert_eq!(get("MessageAttributes.entry.1.Name"), "id");
        let failed = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failed.is_ok() {
            let error = "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalError</Code>\
                         <Message>broken</Message></Error></ErrorResponse>";
            return (StatusCode::INTERNAL_SERVER_ERROR, error);
        }
        self.published.lock().expect("a lock").push(Published {
            text: get("Message"),
            id: get("MessageAttributes.entry.1.Value.StringValue"),
        });
        let ok = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
                  <MessageId>m</MessageId></PublishResult></PublishResponse>";
        (StatusCode::OK, ok)
    }
}

/// Nothing is retried, so that a test counts calls.
pub fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(Connections::without_tls())
        .retry_config(RetryConfig::disabled())
        .endpoint_url(url)
        .build()
}

/// A runtime and a world for tests that are not async, such as generated ones.
pub fn with_runtime<T>(world: impl Future<Output = T>) -> (tokio::runtime::Runtime, T) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(world);
    (runtime, world)
}

/// An endpoint that answers every call with the status and JSON that `answer` makes of its body.
pub async fn scripted(
    answer: impl Fn(&str) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> SdkConfig {
    let (listener, url) = listen().await;
    let handler = move |body: String| async move {
        let (status, body) = answer(&body);
        (StatusCode::from_u16(status).expect("a status"), body.to_string())
    };
    let app = Router::new().route("/", post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    config(&url)
}

/// Connections that an endpoint has accepted.
#[derive(Clone, Default)]
pub struct Accepted(Arc<AtomicUsize>);

impl Accepted {
    /// One more. Returns how many there were.
    pub fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// So many, as soon as they are accepted, and not more.
    pub async fn are(&self, connections: usize) {
        let reached = async {
            while self.0.load(Ordering::SeqCst) < connections {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.expect("connections");
        assert_eq!(self.0.load(Ordering::SeqCst), connections);
    }
}

/// Passes on to an endpoint of this module, and counts the connections.
pub async fn counted(url: &str) -> (String, Accepted) {
    let (listener, own) = listen().await;
    let (upstream, accepted) = (url.replace("http://", ""), Accepted::default());
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.add();
            let mut server = TcpStream::connect(&upstream).await.expect("an endpoint");
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (own, accepted)
}

/// An address where nothing listens.
pub async fn nowhere() -> SdkConfig {
    let (_, url) = listen().await;
    config(&url)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

/// An invocation with a minute left: a busy machine tests slowly.
pub fn context() -> Context {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut context = Context::default();
    "8476a536-e9f4-11e8-9739-2dfe598c3fcd".clone_into(&mut context.request_id);
    context.deadline =
        u64::try_from(now.expect("a clock").as_millis()).expect("a deadline") + 60_000;
    context
}

/// What an HTTP API sends for Slack's POST: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
pub fn post_event(content_type: &str, body: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "ANY /aws_advent",
        "rawPath": "/aws_advent",
        "rawQueryString": "",
        "headers": {
            "content-type": content_type,
            "host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "x-forwarded-for": "192.0.2.1",
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "content-length": body.len().to_string(),
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e"
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": "/aws_advent",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "ANY /aws_advent",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_u64
        },
        "body": body,
        "isBase64Encoded": false
    })
}

/// The same with the body in base64, as an HTTP API sends forms.
pub fn in_base64(mut event: Value) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body = STANDARD.encode(event["body"].as_str().expect("a body"));
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(true);
    event
}

/// What SNS hands to a function, one record for each `MessageId` and text: <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>.
pub fn sns_event(messages: &[(&str, &str)]) -> Value {
    let records: Vec<_> = messages
        .iter()
        .map(|(id, text)| {
            json!({
                "EventVersion": "1.0",
                "EventSubscriptionArn": format!("{TOPIC}:21be56ed-a058-49f5-8c98-aedd2564c486"),
                "EventSource": "aws:sns",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": id,
                    "TopicArn": TOPIC,
                    "Subject": null,
                    "Message": text,
                    "Timestamp": "2019-01-02T12:45:07.000Z",
                    "SignatureVersion": "1",
                    "Signature": "tcc6faL2yUC6dgZdmrwh1Y4cGa/ebXEkAi6RibDsvpi+tE/1+82j...65r==",
                    "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem",
                    "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
                    "MessageAttributes": {}
                }
            })
        })
        .collect();
    json!({ "Records": records })
}
