//! HTTP APIs: what refuses, what lags, what a function gets.

use std::time::{Duration, Instant};

use advent::aws::{ApiError, Call};
use anyhow::{Context as _, Result};
use aws_sdk_apigatewayv2::types::{IntegrationType, ProtocolType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::findings::Seen;
use crate::http::post_form;
use crate::lab::{Lab, MINUTES, SECONDS, lag, seconds, short, told, until};

const ROUTE: &str = "ANY /echo";

/// An API of a probe's own.
struct Api {
    id: String,
    endpoint: String,
}

async fn create(lab: &Lab, what: &str) -> Result<Api> {
    let name = lab.name(what);
    let request = lab
        .cloud
        .apigateway
        .create_api()
        .name(&name)
        .protocol_type(ProtocolType::Http)
        .set_tags(Some(lab.tags()));
    let answer =
        Call::plain("apigateway:CreateApi", &name).once().send(|| request.clone().send()).await?;
    Ok(Api {
        id: answer.api_id.context("the new API has no id")?,
        endpoint: answer.api_endpoint.unwrap_or_default(),
    })
}

impl Api {
    async fn integration(&self, lab: &Lab, function: &str) -> Result<String, ApiError> {
        let request = lab
            .cloud
            .apigateway
            .create_integration()
            .api_id(&self.id)
            .integration_type(IntegrationType::AwsProxy)
            .integration_uri(lab.cloud.names.function_arn(function))
            .payload_format_version("2.0");
        let answer = Call::plain("apigateway:CreateIntegration", &self.id)
            .send(|| request.clone().send())
            .await?;
        Ok(answer.integration_id.unwrap_or_default())
    }

    async fn route(&self, lab: &Lab, integration: &str) -> Result<(), ApiError> {
        let request = lab
            .cloud
            .apigateway
            .create_route()
            .api_id(&self.id)
            .route_key(ROUTE)
            .target(format!("integrations/{integration}"));
        Call::plain("apigateway:CreateRoute", &self.id)
            .send(|| request.clone().send())
            .await
            .map(drop)
    }

    async fn stage(&self, lab: &Lab) -> Result<(), ApiError> {
        let request = lab
            .cloud
            .apigateway
            .create_stage()
            .api_id(&self.id)
            .stage_name("$default")
            .auto_deploy(true);
        Call::plain("apigateway:CreateStage", &self.id)
            .send(|| request.clone().send())
            .await
            .map(drop)
    }

    async fn delete(&self, lab: &Lab) -> Result<(), ApiError> {
        let request = lab.cloud.apigateway.delete_api().api_id(&self.id);
        Call::plain("apigateway:DeleteApi", &self.id)
            .send(|| request.clone().send())
            .await
            .map(drop)
    }

    fn url(&self) -> String {
        format!("{}/echo", self.endpoint)
    }
}

/// An API whose route leads to the function that answers with its event.
async fn echo(lab: &Lab, what: &str) -> Result<Api> {
    let shared = lab.shared().await?;
    let api = create(lab, what).await?;
    let patience = lab.bound(SECONDS);
    let integration = || api.integration(lab, &shared.function);
    let integration = until(patience, integration, ApiError::is_not_found).await.ok()?;
    until(patience, || api.route(lab, &integration), ApiError::is_not_found).await.ok()?;
    let source = lab.cloud.names.route_arn(&api.id, ROUTE);
    lab.permit(&shared.function, what, "apigateway.amazonaws.com", &source).await?;
    until(patience, || api.stage(lab), ApiError::is_not_found).await.ok()?;
    Ok(api)
}

/// Posts a form until somebody answers who knows the route.
async fn ask(lab: &Lab, api: &Api, form: &str) -> Result<(Value, Duration, Vec<String>)> {
    let (begun, mut before) = (Instant::now(), Vec::<String>::new());
    loop {
        let via = lab.cloud.endpoint.as_deref();
        let answer = match post_form(&api.url(), via, form).await {
            Ok((200, body)) => {
                let event = serde_json::from_str(&body)
                    .with_context(|| format!("the answer is not the event: {body}"))?;
                return Ok((event, begun.elapsed(), before));
            }
            Ok((status, body)) => format!("{status} {body}"),
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > lab.bound(SECONDS) {
            anyhow::bail!("{} does not answer: {answer}", api.url());
        }
        if before.last() != Some(&answer) {
            before.push(answer);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

pub(super) async fn form(lab: &Lab) -> Result<Seen> {
    const FORM: &str = "text=some+words%26&user_name=prove";
    let api = echo(lab, "form").await?;
    let (event, _, _) = ask(lab, &api, FORM).await?;
    let body = event["body"].as_str().unwrap_or_default();
    let encoded = event["isBase64Encoded"] == true;
    let decoded = STANDARD.decode(body).is_ok_and(|bytes| bytes == FORM.as_bytes());
    let right = if encoded { decoded } else { body == FORM };
    let text = format!(
        "isBase64Encoded is {}, and the body is {}",
        event["isBase64Encoded"],
        if right { "what was sent" } else { "not what was sent" }
    );
    Ok(Seen::that(encoded && right, text))
}

pub(super) async fn address(lab: &Lab) -> Result<Seen> {
    let api = echo(lab, "address").await?;
    let (_, took, before) = ask(lab, &api, "text=first").await?;
    let before =
        if before.is_empty() { String::new() } else { format!("; before: {}", before.join(" | ")) };
    Ok(Seen::held(format!("after {}{before}", seconds(took))))
}

pub(super) async fn conflicts(lab: &Lab) -> Result<Seen> {
    let shared = lab.shared().await?;
    let api = create(lab, "conflicts").await?;
    let patience = lab.bound(SECONDS);
    let integration = || api.integration(lab, &shared.function);
    let integration = until(patience, integration, ApiError::is_not_found).await.ok()?;
    until(patience, || api.route(lab, &integration), ApiError::is_not_found).await.ok()?;
    until(patience, || api.stage(lab), ApiError::is_not_found).await.ok()?;
    let delete =
        lab.cloud.apigateway.delete_integration().api_id(&api.id).integration_id(&integration);
    let delete = async {
        Call::plain("apigateway:DeleteIntegration", &api.id)
            .send(|| delete.clone().send())
            .await
            .map(drop)
    };
    let mut held = true;
    let mut all = Vec::new();
    // In this order: an integration that can be deleted is gone then.
    for (what, result) in [
        ("route", api.route(lab, &integration).await),
        ("stage", api.stage(lab).await),
        ("integration in use", delete.await),
    ] {
        let text = match result {
            Ok(()) => {
                held = false;
                "accepted".to_owned()
            }
            Err(error) => {
                held &= error.is("Conflict") && error.status == Some(409);
                short(&error)
            }
        };
        all.push(format!("{what}: {text}"));
    }
    Ok(Seen::that(held, all.join(" | ")))
}

pub(super) async fn children_early(lab: &Lab) -> Result<Seen> {
    let shared = lab.shared().await?;
    let (mut all, mut held) = (Vec::new(), true);
    for number in 0..lab.tries() {
        let api = create(lab, &format!("early-{number}")).await?;
        let patience = lab.bound(SECONDS);
        let integration = || api.integration(lab, &shared.function);
        let integration = until(patience, integration, ApiError::is_not_found).await;
        let mut told = format!("integration {}", integration.told());
        if let Ok(id) = &integration.result {
            let route = until(patience, || api.route(lab, id), ApiError::is_not_found).await;
            let stage = until(patience, || api.stage(lab), ApiError::is_not_found).await;
            told = format!("{told}, route {}, stage {}", route.told(), stage.told());
            held &= route.result.is_ok() && stage.result.is_ok();
        } else {
            held = false;
        }
        all.push(told);
    }
    Ok(Seen::that(held, all.join(" | ")))
}

pub(super) async fn ghost(lab: &Lab) -> Result<Seen> {
    let api = create(lab, "ghost").await?;
    until(lab.bound(SECONDS), || api.delete(lab), ApiError::is_not_found).await.ok()?;
    let routes = lab.cloud.apigateway.get_routes().api_id(&api.id);
    let routes = Call::plain("apigateway:GetRoutes", &api.id).send(|| routes.clone().send()).await;
    let routes = routes.map_or_else(|error| short(&error), |_| "still answered".to_owned());
    let again =
        api.delete(lab).await.map_or_else(|error| short(&error), |()| "accepted".to_owned());
    let gone = || async { Ok(!crate::sweep::apis(lab, &api.id).await?) };
    let lag = lag(lab.bound(MINUTES), gone).await?;
    let text =
        format!("no longer listed {}; GetRoutes: {routes}; DeleteApi again: {again}", told(lag));
    Ok(Seen::that(lag.is_some(), text))
}
