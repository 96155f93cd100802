//! What a bot says of what Slack does with its message: enough to act on, and never the token.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    connections::Connections,
    slack::{Bot, Place},
    testing::{Mood, Slack, nowhere},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::ring};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

const TOKEN: &str = "xoxb-test";

fn place() -> Place {
    Place { channel: "C1".to_owned(), thread: None }
}

async fn error(bot: &Bot) -> String {
    let error = bot.say(&place(), "some: 1").await.expect_err("an error").to_string();
    assert!(!error.contains(TOKEN), "{error}");
    error
}

#[tokio::test]
async fn what_slack_does_not_take_is_named_by_its_code() {
    let slack = Slack::new().await;
    let bot = slack.bot();
    for (mood, expected) in [
        (Mood::Refuses("missing_scope"), "missing_scope, status 200, needs chat:write"),
        // No code, and nothing that is to be shown.
        (Mood::Refuses("Bearer xoxb-test"), "no code, status 200, needs chat:write"),
        (Mood::Refuses(""), "no code, status 200, needs chat:write"),
        (
            Mood::Throttles(30),
            "ratelimited, status 429, needs chat:write, may be asked again after 30 s",
        ),
        (Mood::Fails, "no code, status 502"),
        (Mood::TakesAfter(Duration::from_mins(1)), "no answer within 1500 ms"),
    ] {
        slack.is(mood);
        let begun = Instant::now();
        assert_eq!(error(&bot).await, expected);
        assert!(begun.elapsed() < Duration::from_secs(2), "{expected}: {:?}", begun.elapsed());
    }
    slack.is(Mood::Takes);
    bot.say(&place(), "some: 1").await.expect("said");
    assert_eq!(slack.posts().len(), 7, "each was sent once");
}

#[tokio::test]
async fn where_slack_is_not_is_said() {
    let gone = nowhere().await.endpoint_url().expect("an address").to_owned();
    let bot = Bot::new(TOKEN, &gone, |_| Ok(Connections::without_tls())).expect("a bot");
    let error = error(&bot).await;
    assert!(error.contains("refused"), "{error}");
}

/// Sends what `answers` says on its connections, one each, and keeps the rest waiting.
async fn tls(answers: Vec<&'static str>) -> (String, RootCertStore) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let CertifiedKey { cert, signing_key } = made;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .expect("a server's certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
            }
            stream.write_all(answer.as_bytes()).await.expect("a client that waits");
            drop(stream.shutdown().await);
        }
    });
    (format!("https://localhost:{port}/api"), roots)
}

#[tokio::test]
async fn over_tls_only_slack_is_told_and_told_once() {
    let taken = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
    // The second closes before it answers: whether the message was taken is not known.
    let (url, roots) = tls(vec![taken, "", taken]).await;
    let trusting = |_: &_| Connections::trusting(roots);
    let bot = Bot::new(TOKEN, &url, trusting).expect("a bot");
    bot.say(&place(), "some: 1").await.expect("said");
    let lost = error(&bot).await;
    assert!(lost.contains("connection closed"), "{lost}");
    bot.say(&place(), "some: 1").await.expect("said");

    let (url, _) = tls(vec![taken]).await;
    let (_, others) = tls(Vec::new()).await;
    let bot = Bot::new(TOKEN, &url, |_| Connections::trusting(others)).expect("a bot");
    let error = error(&bot).await;
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[test]
fn a_token_goes_to_slack_or_to_this_machine_and_nowhere_else() {
    let new = |token: &str, api: &str| {
        let bot = Bot::new(token, api, |_| Ok(Connections::without_tls()));
        bot.map(drop).map_err(|error| error.to_string())
    };
    for api in [
        "https://slack.com/api/",
        "https://slack.com/api",
        "http://127.0.0.1:1",
        "http://[::1]:1/api",
        "http://localhost/",
    ] {
        assert_eq!(new(TOKEN, api), Ok(()), "{api}");
    }
    for api in [
        "http://slack.com/api/",
        "http://127.0.0.1.example.com",
        "ftp://localhost",
        "slack.com/api",
        "localhost",
        "a b",
    ] {
        let error = new(TOKEN, api).expect_err(api);
        assert!(error.starts_with("SLACK_API_URL "), "{error}");
    }
    for token in ["xoxb-test\n", " xoxb-test", "xoxb\ttest", "xoxb\0test", "xoxb-\u{7f}"] {
        let error = new(token, "https://slack.com/api/").expect_err(token);
        assert!(error.starts_with("SLACK_BOT_TOKEN ") && !error.contains("xoxb"), "{error}");
    }
}
