//! The points that only a real account can settle, each with what is expected of AWS.

mod api;
mod lags;
mod lambda;
mod rights;
mod sns;

use std::pin::Pin;
use std::time::{Duration, Instant};

use advent::aws::ApiError;
use anyhow::Result;

use crate::findings::{Findings, Seen};
use crate::interrupt::Interrupt;
use crate::lab::{Lab, short};

type Work<'a> = Pin<Box<dyn Future<Output = Result<Seen>> + 'a>>;

/// Longest time that one point may take: several waits of its own, each bounded.
const LONGEST: Duration = Duration::from_mins(10);

/// One point.
struct Probe {
    id: &'static str,
    question: &'static str,
    expected: &'static str,
    run: for<'a> fn(&'a Lab) -> Work<'a>,
}

macro_rules! probes {
    ($($id:literal, $question:literal, $expected:literal, $run:path;)*) => {
        &[$(Probe { id: $id, question: $question, expected: $expected, run: |lab| Box::pin($run(lab)) },)*]
    };
}

const PROBES: &[Probe] = probes! {
    "sns-source-account", "Does a permission for sns.amazonaws.com with SourceAccount let a message through?",
        "no: the function is not invoked; with SourceArn alone it is", sns::source_account;
    "apigateway-conflicts", "How are a duplicate route, a duplicate stage and the deletion of an integration in use refused?",
        "each by ConflictException, status 409", api::conflicts;
    "form-base64", "Does a form body reach the function in base64?",
        "yes: isBase64Encoded is true and the body decodes to what was sent", api::form;
    "topic-tags", "What does CreateTopic do with a topic that exists?",
        "adopts it if the tags are the same, refuses with InvalidParameter if they are not", sns::tags;
    "tag-rights", "How soon may what was just created be deleted by rights that hang on its tags?",
        "within a minute", rights::by_tag;
    "function-again", "Can a function be created again under its name right after DeleteFunction?",
        "yes, within a minute", lambda::again;
    "trust-source-arn", "Does CreateFunction take a role whose trust policy names the function as aws:SourceArn?",
        "yes", lambda::source_arn;
    "api-tag-rights", "Which right does CreateApi with tags need besides apigateway:POST on /apis?",
        "apigateway:POST on /tags/*: refused without, accepted with it", rights::api_tags;
    "empty-message", "How does SNS refuse an empty message?",
        "InvalidParameter, \"Empty message\"", sns::empty;
    "permission-early", "Does AddPermission right after CreateFunction answer 404 at first?",
        "accepted within a minute", lambda::permission_early;
    "subscribe-early", "Does Subscribe right after CreateTopic answer 404 at first, and when is the subscription listed?",
        "accepted and listed within a minute", sns::subscribe_early;
    "topic-again", "Can a topic be created with other tags right after DeleteTopic?",
        "accepted within a minute, perhaps after StaleTag", sns::again;
    "api-children-early", "Do integration, route and stage right after CreateApi answer 404 at first?",
        "accepted within a minute", api::children_early;
    "api-address", "How soon does a new API answer at its address?",
        "within a minute", api::address;
    "api-ghost", "How long does GetApis list an API after DeleteApi?",
        "not longer than three minutes", api::ghost;
    "role-early", "How soon does CreateFunction take a new role?",
        "within a minute", lambda::role_early;
    "role-again", "Does a function work whose role was deleted and created again under its name?",
        "no: KMSAccessDeniedException, until it was pointed at another role and back", lambda::role_again;
    "policy-early", "How soon does a right given by PutRolePolicy count, and one taken away no longer?",
        "within a minute", rights::propagation;
    "ttl-attribute", "Can a table's TTL attribute be changed while one is active?",
        "no: ValidationException", lags::ttl;
    "retention-early", "Is PutRetentionPolicy right after CreateLogGroup accepted?",
        "accepted within a minute", lags::retention;
    "log-lag", "How soon is a logged line found by FilterLogEvents?",
        "within three minutes", lags::logs;
    "tagging-lag", "How soon does the tagging API know a new topic, and a deleted one no longer?",
        "within three minutes", lags::tagging;
};

/// Ids of all points.
pub fn ids() -> impl Iterator<Item = &'static str> {
    PROBES.iter().map(|probe| probe.id)
}

/// Looks into all points, or those that are wanted; what cannot be tried says why.
pub async fn run(lab: &Lab, only: &[String], interrupt: &Interrupt, findings: &mut Findings) {
    let wanted = |probe: &&Probe| only.is_empty() || only.iter().any(|id| id == probe.id);
    for probe in PROBES.iter().filter(wanted) {
        let begun = Instant::now();
        let seen = tokio::select! {
            biased;
            () = interrupt.raised() => Seen::untried("interrupted"),
            seen = tokio::time::timeout(LONGEST, (probe.run)(lab)) => match seen {
                Ok(Ok(seen)) => seen,
                Ok(Err(error)) => Seen::untried(untried(&error)),
                Err(_) => Seen::untried(format!("not settled within {} minutes", LONGEST.as_secs() / 60)),
            },
        };
        findings.add((probe.id, probe.question, probe.expected), &seen, begun);
    }
}

/// What kept a point from being tried: the whole chain.
fn untried(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ApiError>() {
        Some(api) => format!("{}: {}", api.operation, short(api)),
        None => format!("{error:#}"),
    }
}
