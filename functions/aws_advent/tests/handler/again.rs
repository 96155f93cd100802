//! Requests that come again, at the same time, or while something fails.

use super::*;
use common::testing::nowhere;
use futures::FutureExt;

#[tokio::test]
async fn a_request_sent_again_counts_once() {
    let world = World::new().await;
    let first = world.send(post_event(FORM, WEBHOOK)).await;
    for _ in 0..3 {
        assert_eq!(world.send(in_base64(post_event(FORM, WEBHOOK))).await, first);
    }
    assert_eq!(world.sns.published().len(), 1, "and is published once");

    let words: Vec<_> = (0..300).map(|n| format!("w{n}")).collect();
    let many = WEBHOOK.replace("some", &words.join("+")).replace("000005", "000007");
    let sends = (0..8).map(|_| world.send(post_event(FORM, &many)));
    for (status, _) in futures::future::join_all(sends).await {
        assert_eq!(status, 200);
    }
    for word in ["awsadvent", "words"] {
        assert_eq!(world.table.count(word).await, 2);
    }
    for word in words {
        assert_eq!(world.table.count(&word).await, 1);
    }
    let published = world.sns.published();
    assert_eq!(published.len(), 2, "and are published once");
    assert_ne!(published[0].id, published[1].id);
}

#[tokio::test]
async fn concurrent_messages_all_count() {
    let world = World::new().await;
    let sends = (0..20).map(|n| {
        let body = WEBHOOK.replace("000005", &format!("{n:06}"));
        world.send(post_event(FORM, &body)).boxed_local()
    });
    for (status, _) in futures::future::join_all(sends).await {
        assert_eq!(status, 200);
    }
    assert_eq!(world.table.count("awsadvent").await, 20);
    assert_eq!(world.sns.published().len(), 20);
}

#[tokio::test]
async fn what_was_counted_but_not_published_is_published_by_the_next_attempt() {
    let world = World::new().await;
    world.sns.fail(2);
    for _ in 0..2 {
        assert_eq!(world.send(post_event(FORM, WEBHOOK)).await.0, 503);
    }
    assert_eq!(world.table.count("some").await, 1);
    assert_eq!(world.sns.published().len(), 0);
    for _ in 0..2 {
        let (status, body) = world.send(post_event(FORM, WEBHOOK)).await;
        assert_eq!(status, 200);
        assert_eq!(body, json!({"text": "awsadvent: 1\nsome: 1\nwords: 1"}));
    }
    assert_eq!(world.table.count("some").await, 1);
    assert_eq!(world.sns.published().len(), 1);
}

#[tokio::test]
async fn what_was_counted_in_part_is_completed() {
    let mut world = World::new().await;
    let words: Vec<_> = (0..150).map(|n| format!("w{n}")).collect();
    let body = WEBHOOK.replace("awsadvent+some+words", &words.join("+"));
    // A word whose count is no number stops the second transaction only.
    let broken = aws_sdk_dynamodb::types::AttributeValue::S("many".into());
    let put = world.table.client.put_item().table_name("table");
    let key = aws_sdk_dynamodb::types::AttributeValue::S("w140".into());
    put.item("word", key.clone()).item("count", broken).send().await.expect("put");
    let (status, body_503) = world.send(post_event(FORM, &body)).await;
    assert_eq!(status, 503);
    assert!(!body_503.to_string().contains("table"), "the reason is for the log: {body_503}");
    let delete = world.table.client.delete_item().table_name("table");
    delete.key("word", key).send().await.expect("deleted");
    // The function starts anew.
    world.function.counter = Some(Counter::new(world.table.client.clone(), world.table.name));
    assert_eq!(world.send(post_event(FORM, &body)).await.0, 200);
    for word in words {
        assert_eq!(world.table.count(&word).await, 1, "{word}");
    }
    assert_eq!(world.sns.published().len(), 1);
}

#[tokio::test]
async fn a_crash_before_the_answer_is_made_good() {
    let world = World::new().await;
    // However far the first attempt came, the second one ends in the same state.
    for micros in (0..30_000).step_by(1_500) {
        let body = WEBHOOK.replace("000005", &format!("{micros:06}"));
        let body = body.replace("some", &format!("w{micros}"));
        world.crash(post_event(FORM, &body), micros).await;
        let (status, answer) = world.send(post_event(FORM, &body)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(world.table.count(&format!("w{micros}")).await, 1);
        let id = world.sns.published().last().expect("published").clone();
        assert!(id.text.contains(&format!("w{micros}")));
    }
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_a_503_and_no_publication() {
    let mut world = World::new().await;
    let client = aws_sdk_dynamodb::Client::new(&nowhere().await);
    world.function.counter = Some(Counter::new(client, "table"));
    assert_eq!(world.send(post_event(FORM, WEBHOOK)).await.0, 503);
    assert!(world.sns.published().is_empty());
}

#[tokio::test]
async fn time_running_out_is_a_503() {
    let world = World::new().await;
    let mut context = context();
    context.deadline = 0;
    let event = LambdaEvent::new(post_event(FORM, WEBHOOK), context);
    let response = world.function.handle(event).await.expect("an answer");
    assert_eq!(response.status_code, 503);
}

#[tokio::test]
async fn the_same_signed_bytes_may_complete_what_failed() {
    let mut world = World::new().await;
    world.function.secrets.signing_secret = Some("secret".into());
    let request = signed("secret", now(), WEBHOOK);
    world.sns.fail(1);
    assert_eq!(world.send(request.clone()).await.0, 503);
    assert_eq!(world.send(request.clone()).await.0, 200);
    assert_eq!(world.send(request).await.0, 401);
    assert_eq!(world.table.count("some").await, 1);
}

#[tokio::test]
async fn of_many_copies_at_once_one_counts() {
    let mut world = World::new().await;
    world.function.secrets.signing_secret = Some("secret".into());
    let request = signed("secret", now(), WEBHOOK);
    let sends = (0..60).map(|_| world.send(request.clone()).boxed_local());
    let mut answers: Vec<_> =
        futures::future::join_all(sends).await.into_iter().map(|(status, _)| status).collect();
    answers.sort_unstable();
    assert_eq!(answers[0], 200);
    assert_eq!(answers[1..], [401; 59]);
    assert_eq!(world.table.count("some").await, 1);
    assert_eq!(world.sns.published().len(), 1);
}

/// However many words it has, and whether or not it is signed.
#[tokio::test]
async fn whatever_is_copied_is_published_once() {
    let words: Vec<_> = (0..250).map(|n| format!("w{n}")).collect();
    let many = WEBHOOK.replace("some", &words.join("+"));
    let event = json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1",
        "event": {"type": "app_mention", "channel": "C1", "user": "U1", "ts": "1.2", "text": "some"},
    });
    let event = post_event("application/json", &event.to_string());
    for (secret, last, event) in [
        (None, "some", post_event(FORM, WEBHOOK)),
        (None, "some", event),
        (Some("secret"), "w249", signed("secret", now(), &many)),
        (Some("secret"), "some", signed("secret", now(), WEBHOOK)),
    ] {
        let mut world = World::new().await;
        world.function.secrets.signing_secret = secret.map(str::to_owned);
        let sends = (0..30).map(|_| world.send(event.clone()).boxed_local());
        let answers = futures::future::join_all(sends).await;
        let accepted = answers.iter().filter(|(status, _)| *status == 200).count();
        assert_eq!(accepted, if secret.is_some() { 1 } else { 30 }, "{event}");
        assert_eq!(world.table.count(last).await, 1, "{event}");
        assert_eq!(world.sns.published().len(), 1, "{event}");
    }
}

#[tokio::test]
async fn of_slacks_attempts_at_once_one_publishes_and_all_are_answered() {
    let mut world = World::new().await;
    world.function.secrets.signing_secret = Some("secret".into());
    for fails in [0, 1, 3] {
        let before = world.sns.published().len();
        let body = WEBHOOK.replace("000005", &format!("{fails:06}"));
        world.sns.fail(fails);
        let sends = (0..8).map(|n| world.send(signed("secret", now() - n, &body)).boxed_local());
        let answers = futures::future::join_all(sends).await;
        let failed = answers.iter().filter(|(status, _)| *status == 503).count();
        assert_eq!(failed, fails, "{answers:?}");
        assert!(answers.iter().all(|(status, _)| [200, 503].contains(status)), "{answers:?}");
        assert_eq!(world.sns.published().len(), before + 1, "{fails} failed");
    }
    assert_eq!(world.table.count("some").await, 3);
}

#[tokio::test]
async fn no_attempt_of_slacks_can_be_replayed() {
    let mut world = World::new().await;
    world.function.secrets.signing_secret = Some("secret".into());
    // The first attempt fails, the second completes it, the third finds all done.
    let attempts: Vec<_> = (0..3).map(|n| signed("secret", now() - n, WEBHOOK)).collect();
    world.sns.fail(1);
    for (attempt, expected) in attempts.iter().zip([503, 200, 200]) {
        assert_eq!(world.send(attempt.clone()).await.0, expected);
    }
    let keys = world.table.keys().await;
    for attempt in attempts {
        assert_eq!(world.send(attempt).await.0, 401);
    }
    assert_eq!(world.table.keys().await, keys);
    assert_eq!(world.table.count("some").await, 1);
    assert_eq!(world.sns.published().len(), 1);

    // Without a topic there is nothing to publish, and a replay is one all the same.
    world.function.topic = None;
    let other = WEBHOOK.replace("000005", "000006");
    let attempts: Vec<_> = (0..2).map(|n| signed("secret", now() - n, &other)).collect();
    for expected in [200, 401] {
        for attempt in &attempts {
            assert_eq!(world.send(attempt.clone()).await.0, expected);
        }
    }
}
