//! Whose a thing is: the only place that says ours, foreign or missing.
//!
//! Ours is what carries both tags of this stage. The tagging API's index may stand for a thing's own
//! tags as long as nothing is written or deleted: it lags by minutes.

use crate::aws::Context;
use crate::aws::naming::{Lacking, Names, STACK_TAG, STAGE_TAG, Tags};
use crate::engine::Found;

use std::time::Duration;

/// Pause before the tags of what should have some are asked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// That a thing is this stage's. Nothing else makes one.
#[derive(Debug)]
pub struct Ours {
    lacking: Lacking,
}

/// That a thing is somebody else's, and how that is known.
#[derive(Debug)]
pub struct Foreign(String);

impl Ours {
    /// What it lacks of the author's own tags.
    pub fn lacking(&self) -> &Lacking {
        &self.lacking
    }

    pub fn found<S>(self, state: S) -> Found<S> {
        Found::Ours(state)
    }
}

impl Foreign {
    pub fn found<S>(self) -> Found<S> {
        Found::Foreign(self.0)
    }
}

/// By its own tags.
pub fn judge(names: &Names, tags: &Tags) -> Result<Ours, Foreign> {
    match (tags.get(STACK_TAG), tags.get(STAGE_TAG)) {
        (Some(stack), Some(stage)) if *stack == names.stack && *stage == names.stage => {
            Ok(Ours { lacking: names.lacking(tags) })
        }
        (Some(stack), stage) => Err(Foreign(format!(
            "it belongs to the stack {stack}, stage {}",
            stage.map_or("unknown", String::as_str)
        ))),
        (None, _) => {
            Err(Foreign("it was not made by advent (it has no advent:stack tag)".to_owned()))
        }
    }
}

/// What was found of a thing, by its own tags. `state` is told what it lacks of the author's own.
pub fn found<S>(names: &Names, tags: &Tags, state: impl FnOnce(Lacking) -> S) -> Found<S> {
    match judge(names, tags) {
        Ok(ours) => Found::Ours(state(ours.lacking)),
        Err(foreign) => foreign.found(),
    }
}

/// A part that has no tags, such as a subscription: it is ours if what it hangs on is. On what is
/// foreign or missing there is none of ours.
pub fn part<S>(whole: Option<Ours>, part: Option<S>) -> Found<S> {
    match (whole, part) {
        (Some(_), Some(state)) => Found::Ours(state),
        _ => Found::Missing,
    }
}

/// By the tagging API's index, where it says that this is ours and lacks none of the author's own
/// tags, and may be believed: for nothing that is written or deleted. `None` means nothing.
pub async fn indexed(cx: &Context<'_>, arn: &str) -> Option<Ours> {
    // What a create found in its place may be anybody's.
    if cx.fresh || cx.cloud.index.is_distrusted() {
        return None;
    }
    let arns = cx.cloud.index.arns(cx).await;
    // It was asked for what has both tags.
    let tags = arns.as_ref().as_ref().ok()?.get(arn)?;
    Some(Ours { lacking: cx.cloud.names.lacking(tags) }).filter(|ours| ours.lacking.is_empty())
}

/// A thing's own tags, asked for once more if there are none although the index has some, however
/// old: services may lag too.
///
/// # Errors
/// Those of `ask`.
pub async fn own_tags<E, F>(cx: &Context<'_>, arn: &str, ask: impl Fn() -> F) -> Result<Tags, E>
where
    F: Future<Output = Result<Tags, E>>,
{
    let tags = ask().await?;
    if !tags.is_empty() || !is_claimed(cx, arn).await {
        return Ok(tags);
    }
    cx.note("it seems to have no tags: looking again");
    tokio::time::sleep(LOOK_AGAIN).await;
    ask().await
}

async fn is_claimed(cx: &Context<'_>, arn: &str) -> bool {
    cx.cloud.index.arns(cx).await.as_ref().as_ref().is_ok_and(|arns| arns.contains_key(arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::naming::tests::names;

    #[test]
    fn both_tags_make_a_thing_ours() {
        let dev = names("dev");
        assert!(judge(&dev, &dev.tags()).is_ok());
        let other = judge(&dev, &names("default").tags()).unwrap_err().0;
        assert!(other.contains("stage default"), "{other}");
        let mut half = dev.tags();
        half.remove(STAGE_TAG);
        assert!(judge(&dev, &half).is_err());
        let none = judge(&dev, &Tags::new()).unwrap_err().0;
        assert!(none.contains("not made by advent"), "{none}");
    }

    #[test]
    fn a_part_is_whose_the_whole_is() {
        let dev = names("dev");
        let ours = || judge(&dev, &dev.tags()).ok();
        assert_eq!(part(ours(), Some(1)), Found::Ours(1));
        assert_eq!(part(ours(), None::<u8>), Found::Missing);
        assert_eq!(part(None, Some(1)), Found::Missing);
    }
}
