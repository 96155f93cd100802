//! What a fuzzer drives (`fuzz/`), and the tests with what it found: what others send to functions.

use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::Value;

use crate::{
    http::Request,
    slack::{Accepted, Secrets},
    sns,
    words::Words,
};

pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: [(&str, Target); 2] = [("slack", slack), ("sns", sns)];

/// An event of an HTTP API: whatever it is, nobody gets in who does not know the secret or the token.
fn slack(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(bytes) else { return };
    let request = match Request::receive(event, &[Method::GET, Method::POST]) {
        Ok(request) => request,
        Err(answer) => return assert!((400..500).contains(&answer.status), "{answer:?}"),
    };
    let secret = || Some("a secret that no input has been signed with".to_owned());
    // When the seeds were sent.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let both = Secrets { signing_secret: secret(), token: secret() };
    for secrets in [Secrets::default(), both] {
        let open = secrets.token.is_none();
        match secrets.accept(&request, now) {
            Err(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
            Ok(Accepted::Message(message)) => {
                assert!(open, "let in: {message:?}");
                let _ = Words::of(&message.text);
            }
            Ok(Accepted::Answer(_)) => {}
        }
    }
}

/// An event of SNS: an error, or messages with an id of AWS's, or one of ours that fits a key.
fn sns(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(bytes) else { return };
    for message in sns::messages(event).unwrap_or_default() {
        let id = sns::id(&message);
        assert!(id == message.message_id || (1..=128).contains(&id.len()), "{message:?}");
        let _ = Words::of(&message.message);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_a_fuzzer_found_stays_right() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in super::TARGETS {
            let inputs = std::fs::read_dir(corpus.join(name)).expect(name);
            let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
            assert!(inputs.len() > 1, "{name} has no inputs");
            for path in inputs {
                let bytes = std::fs::read(&path).unwrap();
                let kept = std::panic::catch_unwind(|| target(&bytes));
                assert!(kept.is_ok(), "{}", path.display());
            }
        }
    }
}
