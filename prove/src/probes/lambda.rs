//! Functions, and the roles that they run with.

use std::time::Instant;

use advent::aws::{ApiError, Call};
use anyhow::Result;
use serde_json::json;

use crate::findings::Seen;
use crate::lab::{Lab, SECONDS, lag, role_is_young, seconds, trust, until};

async fn delete(lab: &Lab, name: &str) -> Result<(), ApiError> {
    let request = lab.cloud.lambda.delete_function().function_name(name);
    Call::plain("lambda:DeleteFunction", name).send(|| request.clone().send()).await.map(drop)
}

pub(super) async fn again(lab: &Lab) -> Result<Seen> {
    let role = &lab.shared().await?.role;
    let name = lab.function("again", role).await?;
    let begun = Instant::now();
    delete(lab, &name).await?;
    let create = || lab.try_function(&name, role);
    let busy = |error: &ApiError| error.is("ResourceConflict") || error.is_not_found();
    let accepted = until(lab.bound(SECONDS), create, busy).await;
    let answered = begun.elapsed();
    let ready = if accepted.result.is_ok() { lab.wait_active(&name).await } else { Ok(()) };
    let ready = ready.map_or_else(
        |error| format!("{error:#}"),
        |()| format!("active {} after DeleteFunction was sent", seconds(begun.elapsed())),
    );
    let text = format!(
        "{} ({} after DeleteFunction was sent), {ready}",
        accepted.told(),
        seconds(answered)
    );
    Ok(Seen::that(accepted.result.is_ok(), text))
}

pub(super) async fn source_arn(lab: &Lab) -> Result<Seen> {
    let name = lab.name("source-arn");
    let mut policy = trust("lambda.amazonaws.com");
    policy["Statement"][0]["Condition"] = json!({
        "ArnLike": { "aws:SourceArn": lab.cloud.names.function_arn(&name) },
        "StringEquals": { "aws:SourceAccount": lab.cloud.names.account },
    });
    let role = lab.role("source-arn", &policy, &lab.log_rights()).await?;
    let accepted = lab.create_function(&name, &role).await;
    if accepted.result.is_err() {
        return Ok(Seen::differs(accepted.told()));
    }
    lab.wait_active(&name).await?;
    let Err(why) = runs(lab, &name).await else {
        return Ok(Seen::held(format!("{}, it can be invoked", accepted.told())));
    };
    if let Err(other) = runs(lab, &lab.shared().await?.function).await {
        return Ok(Seen::untried(format!(
            "{}, but functions do not run here: {other}",
            accepted.told()
        )));
    }
    Ok(Seen::differs(format!("{}, invoked, it fails: {why}", accepted.told())))
}

/// Whether a function answers, or how it fails.
async fn runs(lab: &Lab, name: &str) -> Result<(), String> {
    match lab.invoke(name, &json!({})).await {
        Ok((None, payload)) if payload.trim() == "{}" => Ok(()),
        Ok((error, payload)) => Err(format!("{} {payload}", error.unwrap_or_default())),
        Err(error) => Err(crate::lab::short(&error)),
    }
}

pub(super) async fn permission_early(lab: &Lab) -> Result<Seen> {
    let role = &lab.shared().await?.role;
    let (mut all, mut held, mut missed) = (Vec::new(), true, 0);
    for number in 0..lab.tries() {
        let name = lab.name(&format!("early-{number}"));
        lab.create_function(&name, role).await.ok()?;
        let source = lab.cloud.names.topic_arn(&lab.name("none"));
        let permit = || lab.permit(&name, "early", "sns.amazonaws.com", &source);
        let passes = |error: &ApiError| error.is_not_found() || error.is("ResourceConflict");
        let accepted = until(lab.bound(SECONDS), permit, passes).await;
        missed += usize::from(!accepted.refusals.is_empty());
        held &= accepted.result.is_ok();
        all.push(accepted.told());
    }
    let text = format!("{missed} of {} were refused at first: {}", all.len(), all.join(" | "));
    Ok(Seen::that(held, text))
}

pub(super) async fn role_early(lab: &Lab) -> Result<Seen> {
    let begun = Instant::now();
    let role = lab.function_role("role-early").await?;
    let made = begun.elapsed();
    let accepted = lab.create_function(&lab.name("role-early"), &role).await;
    let text = format!("{}; the role itself took {}", accepted.told(), seconds(made));
    Ok(Seen::that(accepted.result.is_ok(), text))
}

pub(super) async fn role_again(lab: &Lab) -> Result<Seen> {
    let role = lab.function_role("role-again").await?;
    let name = lab.function("role-again", &role).await?;
    let event = json!({ "mark": "mark-first" });
    let works = || async { Ok(lab.invoke(&name, &event).await?.0.is_none()) };
    if lag(lab.bound(SECONDS), works).await?.is_none() {
        return Ok(Seen::untried("the function did not run with its first role either"));
    }
    let role_name = lab.name("role-again");
    crate::sweep::delete_role(&lab.cloud, &role_name).await?;
    let remake = || async {
        match lab.function_role("role-again").await {
            Ok(arn) => Ok(arn),
            Err(error) => Err(error.downcast::<ApiError>()),
        }
    };
    // IAM may remember the name for a moment.
    let mut tries = 0;
    let made = loop {
        match remake().await {
            Ok(arn) => break arn,
            Err(Ok(error)) if error.is("EntityAlreadyExists") && tries < 20 => tries += 1,
            Err(Ok(error)) => return Err(error.into()),
            Err(Err(error)) => return Err(error),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    // Environments that are warm still work: a change of configuration makes new ones.
    set_memory(lab, &name, 192).await?;
    lab.wait_active(&name).await?;
    let broken = match lab.invoke(&name, &event).await {
        Ok((None, _)) => return Ok(Seen::differs("it works with the new role at once")),
        Ok((Some(error), payload)) => format!("{error} {payload}"),
        Err(error) => crate::lab::short(&error),
    };
    let begun = Instant::now();
    set_role(lab, &name, &lab.shared().await?.role).await?;
    set_role(lab, &name, &made).await?;
    let mended = lag(lab.bound(SECONDS), works).await?;
    let text = format!(
        "{broken}; after another role and back it works {} ({} in all)",
        crate::lab::told(mended),
        seconds(begun.elapsed())
    );
    Ok(Seen::that(broken.contains("KMSAccessDenied") && mended.is_some(), text))
}

async fn set_memory(lab: &Lab, name: &str, memory: i32) -> Result<()> {
    let request =
        lab.cloud.lambda.update_function_configuration().function_name(name).memory_size(memory);
    let update =
        || Call::plain("lambda:UpdateFunctionConfiguration", name).send(|| request.clone().send());
    let busy = |error: &ApiError| error.is("ResourceConflict") || role_is_young(error);
    until(lab.bound(SECONDS), update, busy).await.ok()?;
    Ok(())
}

async fn set_role(lab: &Lab, name: &str, role: &str) -> Result<()> {
    let request = lab.cloud.lambda.update_function_configuration().function_name(name).role(role);
    let update =
        || Call::plain("lambda:UpdateFunctionConfiguration", name).send(|| request.clone().send());
    let busy = |error: &ApiError| error.is("ResourceConflict") || role_is_young(error);
    until(lab.bound(SECONDS), update, busy).await.ok()?;
    Ok(())
}
