//! No input whatsoever is answered with a 5xx.

use super::*;
use common::testing::with_runtime;
use proptest::prelude::*;

#[test]
fn text_is_counted() {
    let (runtime, world) = with_runtime(World::new());
    proptest!(ProptestConfig::with_cases(64), |(text in any::<String>())| {
        let (status, answer) = runtime.block_on(world.say(&text));
        prop_assert!(status == 200, "{}", answer);
        prop_assert_eq!(answer.contains(['<', '>']), false);
    });
}

#[test]
fn body_is_answered() {
    let (runtime, world) = with_runtime(World::new());
    let kinds = prop_oneof![Just(FORM), Just("application/json"), Just("a/b"), Just("")];
    proptest!(ProptestConfig::with_cases(256), |(
        kind in kinds,
        body in prop_oneof![any::<String>(), "text=[a%+&=0-9 ]{0,40}", r#"\{"type":"event_callback","event":\{"text":"[a ]{1,9}","type":"message"\}\}"#],
        base64 in any::<bool>(),
        headers in prop::collection::hash_map(any::<String>(), any::<String>(), 0..5),
    )| {
        let mut event = post_event(kind, &body);
        event["isBase64Encoded"] = json!(base64);
        for (name, value) in headers {
            event["headers"][name] = json!(value);
        }
        let (status, body) = runtime.block_on(world.send(event));
        prop_assert!(status < 500, "{} {}", status, body);
    });
}
