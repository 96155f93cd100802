//! `advent say`: what the declared caller would send, to the deployed URL.

use std::time::{Duration, Instant};

use anyhow::Result;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::session::{Session, application};
use super::url::Route;
use super::{secrets, url};
use crate::aws::http::{self, Http};
use crate::cli::{Global, Say};
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::report::Report;
use crate::slack::{self, Caller, Message};

/// An HTTP API waits 30 s for its function at most.
const PATIENCE: Duration = Duration::from_secs(35);
/// A new API's address and routes are not known everywhere at once.
const NEW_API: Duration = Duration::from_secs(20);

/// What an HTTP API answers for a route that it does not have.
const UNROUTED: &str = r#"{"message":"Not Found"}"#;

pub async fn run(global: &Global, args: &Say, report: &Report) -> Result<u8> {
    let app = application(report)?;
    route(&app.manifest, args.path.as_deref())?;
    if args.raw {
        report.let_through();
    }
    let session = Session::of(app, global, report).await?;
    let (route, caller) = route(&session.app.manifest, args.path.as_deref())?;
    let endpoint = url::endpoint(&session).await?;
    let path = args.path.as_deref().unwrap_or(route.path);
    let url = format!("{endpoint}{path}");
    let begun = Instant::now();
    let (status, body, ms) = loop {
        let secret = |variable: &str| {
            let secret = secrets::read(variable)?;
            report.hide(secret.as_deref().unwrap_or_default());
            Ok(secret)
        };
        let message = caller.message(&args.text, &args.user, secret)?;
        let sent = Instant::now();
        let answer =
            send(&message, &url, session.cloud.endpoint.as_deref(), &session.cloud.http).await;
        // The local cloud knows its routes at once.
        let young = session.local.is_none() && begun.elapsed() < NEW_API;
        match answer {
            Ok((404, body)) if young && body == UNROUTED => {}
            Ok((status, body)) => break (status, body, sent.elapsed().as_millis()),
            Err(error) if young && session.cloud.endpoint.is_none() && http::never_left(&error) => {
            }
            Err(error) => {
                let what = format!("{url} does not answer");
                let hint = "check with `advent status` that the stack is up";
                return Err(Failure::new(what).hint(hint).source(error).into());
            }
        }
        report.begin("waiting for the new API's address to be known");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    report.end();
    let text = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|answer| Some(answer.get("text")?.as_str()?.to_owned()))
        .unwrap_or(body);
    let is_success = (200..300).contains(&status);
    if global.json {
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        report.document(&json!({ "status": status, "text": text, "ms": ms }));
    } else if is_success {
        report.data(&text);
        report.note(&format!("{status} in {ms} ms"));
    } else {
        let what = format!("{url} answered {status}: {text}");
        let hint = match status {
            401 => caller.how_to_be_believed(),
            404 if text == UNROUTED => {
                format!("the route {} is not deployed: `advent up`", route.key)
            }
            429 => "the stage's throttle did not let it through: wait a second".to_owned(),
            _ => "`advent logs` shows what the function says".to_owned(),
        };
        return Err(Failure::new(what).hint(hint).into());
    }
    Ok(u8::from(!is_success))
}

/// The route to send to, and who calls it.
///
/// # Errors
/// A refusal where no caller is declared, or the path is no route of a function that has one.
fn route<'a>(manifest: &'a Manifest, path: Option<&str>) -> Result<(Route<'a>, &'a Caller)> {
    let routes = url::routes(manifest);
    let called: Vec<_> = routes
        .iter()
        .filter(|route| route.takes_post())
        .filter_map(|route| Some((*route, route.function.caller.as_ref()?)))
        .collect();
    if called.is_empty() {
        let what =
            format!("no function of {} declares {} as its caller", manifest.name, slack::NAME);
        let hint = format!(
            "send requests of your own, as `curl`: `advent status` shows the URL; or declare \
             [function.ID.{}] in advent.toml",
            slack::SECTION
        );
        return Err(Failure::refused(what).hint(hint).into());
    }
    let wanted =
        |(route, _): &&(Route<'a>, &'a Caller)| path.is_none_or(|path| route.matches(path));
    called.iter().find(wanted).copied().ok_or_else(|| {
        let known: Vec<_> = called.iter().map(|(route, _)| route.path).collect();
        let what =
            format!("{} is no route that {} posts to", path.unwrap_or_default(), slack::NAME);
        Failure::refused(what).hint(format!("pass --path with one of: {}", known.join(", "))).into()
    })
}

/// `endpoint` stands in for AWS's own, if any.
async fn send(
    message: &Message,
    url: &str,
    endpoint: Option<&str>,
    http: &Http,
) -> Result<(u16, String)> {
    // Emulators other than ours answer for their APIs at their own address only.
    let via = endpoint.filter(|endpoint| host(url) != host(endpoint));
    let target = match via {
        Some(via) => {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            format!("{}/{path}", via.trim_end_matches('/'))
        }
        None => url.to_owned(),
    };
    let mut request = HttpRequest::new(SdkBody::from(message.body.as_str()));
    request.set_method("POST")?;
    request.set_uri(target)?;
    let headers = request.headers_mut();
    headers.insert("content-type", message.content_type);
    headers.insert("user-agent", concat!("advent/", env!("CARGO_PKG_VERSION")));
    if via.is_some() {
        headers.insert("host", host(url).to_owned());
    }
    for (name, value) in &message.headers {
        headers.insert(*name, value.clone());
    }
    let response = tokio::time::timeout(PATIENCE, http.send(request)).await??;
    let status = response.status().as_u16();
    let body = aws_smithy_types::byte_stream::ByteStream::new(response.into_body());
    let body = tokio::time::timeout(PATIENCE, body.collect()).await??.into_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}
