//! Reading an HTTP API and its parts, page by page.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::Result;
use aws_sdk_apigatewayv2::types::Api;

use super::{Integration, Route, STAGE, Stage};
use crate::aws::{Call, Context};

pub(super) async fn list(cx: &Context<'_>) -> Result<Vec<Api>> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let request = cx.cloud.apigateway.get_apis().max_results("500").set_next_token(token);
        let page =
            Call::new("apigateway:GetApis", "all APIs").send(|| request.clone().send()).await?;
        all.extend(page.items.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// The first integration of each function, and the ids of all others.
pub(super) async fn integrations(
    cx: &Context<'_>,
    id: &str,
) -> Result<(BTreeMap<String, Integration>, Vec<String>)> {
    let (mut all, mut strays, mut token) = (BTreeMap::new(), Vec::new(), None);
    loop {
        let request = cx.cloud.apigateway.get_integrations().api_id(id).set_next_token(token);
        let page =
            Call::new("apigateway:GetIntegrations", id).send(|| request.clone().send()).await?;
        for found in page.items.unwrap_or_default() {
            let uri = found.integration_uri.unwrap_or_default();
            let integration = Integration {
                id: found.integration_id.unwrap_or_default(),
                payload: found.payload_format_version.unwrap_or_default(),
            };
            match all.entry(uri) {
                Entry::Vacant(entry) => drop(entry.insert(integration)),
                Entry::Occupied(_) => strays.push(integration.id),
            }
        }
        token = page.next_token;
        if token.is_none() {
            return Ok((all, strays));
        }
    }
}

pub(super) async fn routes(cx: &Context<'_>, id: &str) -> Result<BTreeMap<String, Route>> {
    let (mut all, mut token) = (BTreeMap::new(), None);
    loop {
        let request = cx.cloud.apigateway.get_routes().api_id(id).set_next_token(token);
        let page = Call::new("apigateway:GetRoutes", id).send(|| request.clone().send()).await?;
        for found in page.items.unwrap_or_default() {
            let route = Route {
                id: found.route_id.unwrap_or_default(),
                target: found.target.unwrap_or_default(),
                authorization: found
                    .authorization_type
                    .map_or("NONE".to_owned(), |kind| kind.as_str().to_owned()),
            };
            all.insert(found.route_key.unwrap_or_default(), route);
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(all);
        }
    }
}

pub(super) async fn stage(cx: &Context<'_>, id: &str) -> Result<Option<Stage>> {
    let answer = Call::new("apigateway:GetStage", id)
        .send(|| cx.cloud.apigateway.get_stage().api_id(id).stage_name(STAGE).send())
        .await;
    let found = match answer {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let settings = found.default_route_settings;
    Ok(Some(Stage {
        auto_deploy: found.auto_deploy.unwrap_or_default(),
        rate: settings.as_ref().and_then(|settings| settings.throttling_rate_limit),
        burst: settings.as_ref().and_then(|settings| settings.throttling_burst_limit),
    }))
}
