//! Reading an HTTP API and its parts, page by page.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_sdk_apigatewayv2::types::Api;
use futures::future::try_join_all;

use serde_json::Value;

use super::super::watch::optional;
use super::looks;
use super::{HttpApiId, Integration, Route, STAGE, ServingStage, State};
use crate::aws::naming::Tags;
use crate::aws::raw::Raw;
use crate::aws::{ApiError, Call, Context, Names, Pages, told};
use crate::engine::{Found, Notices, Watched};
use crate::failure::Failure;
use crate::ownership::{self, Foreign, Ours};
use crate::resources::permission;

/// How long an API is new.
const YOUNG: Duration = Duration::from_secs(30);

/// A rate as it is compared: not every reader of a number in JSON gets the last bit right.
pub fn rate(per_second: f64) -> f64 {
    (per_second * 1e6).round() / 1e6
}

/// One page of a list, each item also as it came.
fn page<T>(
    listed: Option<Vec<T>>,
    raw: &Raw,
    asked: (&'static str, &str),
) -> Result<Vec<(T, Value)>, ApiError> {
    let listed = told(listed, "items", asked)?;
    let seen = raw.take()["items"].take();
    let seen = seen.as_array().into_iter().flatten().filter(|item| !item.is_null()).cloned();
    Ok(listed.into_iter().zip(seen).collect())
}

/// All APIs, by whose they are.
pub(super) struct Listed {
    pub ours: Vec<Api>,
    pub others: Vec<Api>,
    /// All as they came.
    pub raw: Vec<Value>,
}

pub(super) async fn list(cx: &Context<'_>, id: &HttpApiId) -> Result<Listed> {
    let asked = ("apigateway:GetApis", "all APIs");
    let all = Pages::of(asked.0, asked.1).all(|token| async move {
        let request = cx.cloud.apigateway.get_apis().max_results("500").set_next_token(token);
        let raw = Raw::default();
        let request = || request.clone().customize().interceptor(raw.clone()).send();
        let answer = Call::new(asked.0, asked.1).send(request).await?;
        Ok((page(answer.items, &raw, asked)?, answer.next_token))
    });
    let all = all.await.map_err(|error| unavailable(cx, error))?;
    let (all, raw): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let all = with_tags(cx, &id.name, all).await?;
    let (ours, others) = all.into_iter().partition(|api| judge(&id.names, api).is_ok());
    Ok(Listed { ours, others, raw })
}

/// The one of ours that stays, with what its list says of it: the others are its duplicates.
pub(super) fn first(id: &HttpApiId, ours: Vec<Api>) -> Option<(Ours, Api, State)> {
    let mut ours = ours.into_iter();
    let first = ours.next()?;
    let is_ours = judge(&id.names, &first).ok()?;
    let mut state = bare(&first);
    state.lacking.clone_from(is_ours.lacking());
    state.duplicates = ours.filter_map(|api| api.api_id).collect();
    Some((is_ours, first, state))
}

/// Whose the API is that has the name of ours, if there is one.
pub(super) async fn namesake(
    cx: &Context<'_>,
    id: &HttpApiId,
    others: Vec<Api>,
) -> Result<Found<State>> {
    let namesakes = others.into_iter().filter(|api| api.name() == Some(&id.name)).collect();
    let existing = existing_with_routes(cx, namesakes).await?;
    let foreign = existing.first().and_then(|(api, _)| judge(&id.names, api).err());
    Ok(foreign.map_or(Found::Missing, Foreign::found))
}

pub(super) fn function_name(arn: &str) -> &str {
    let is_arn = arn.starts_with("arn:");
    arn.rsplit(':').next().filter(|_| is_arn).unwrap_or(arn)
}

fn judge(names: &Names, api: &Api) -> Result<Ours, Foreign> {
    ownership::judge(names, &tags(api))
}

/// What a list says of an API.
fn bare(api: &Api) -> State {
    State {
        id: api.api_id().unwrap_or_default().to_owned(),
        endpoint: api.api_endpoint().unwrap_or_default().trim_end_matches('/').to_owned(),
        name: api.name().unwrap_or_default().to_owned(),
        ..State::empty()
    }
}

fn tags(api: &Api) -> Tags {
    api.tags().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The APIs with their tags: where one of this name seems to have none, they are asked for.
async fn with_tags(cx: &Context<'_>, name: &str, apis: Vec<Api>) -> Result<Vec<Api>, ApiError> {
    let complete = async |mut api: Api| {
        let untagged = api.tags().is_none_or(HashMap::is_empty);
        if untagged && api.name() == Some(name) {
            let arn = cx.cloud.names.api_arn(api.api_id().unwrap_or_default());
            let answer = Call::new("apigateway:GetTags", &arn)
                .send(|| cx.cloud.apigateway.get_tags().resource_arn(&arn).send())
                .await;
            match answer {
                Ok(answer) => api.tags = answer.tags,
                // Deleted since.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(api)
    };
    try_join_all(apis.into_iter().map(complete)).await
}

/// What it means that a write does not find the API.
pub(super) async fn lost(
    cx: &Context<'_>,
    name: &str,
    id: &str,
    error: anyhow::Error,
) -> anyhow::Error {
    let gone = routes(cx, id).await.is_err_and(|error| ApiError::is_not_found_in(&error));
    error.context(if gone {
        format!(
            "the HTTP API {name} ({id}) is gone: somebody deleted it while it was being changed"
        )
    } else {
        format!("API Gateway lets the HTTP API {name} ({id}) be read, and finds nothing to change")
    })
}

/// That the Region has no HTTP APIs, if the error says so. Some of these Regions answer to
/// `GetApis` all the same, and refuse to create one only.
pub(super) fn unavailable(cx: &Context<'_>, error: ApiError) -> anyhow::Error {
    let Some(certain) = says_unavailable(&error, cx.cloud.endpoint.is_none()) else {
        return error.into();
    };
    let region = &cx.cloud.names.region;
    let what = if certain {
        format!("the Region {region} has no HTTP APIs")
    } else {
        format!("the Region {region} does not answer as one that has HTTP APIs")
    };
    let hint = "deploy to another one with --region REGION, or give no function a `route`; \
                `advent down` removes what was already created";
    Failure::refused(what).hint(hint).source(error).into()
}

/// Whether this is how a Region without HTTP APIs answers, and whether that is certain. Seen were
/// "HTTP APIs are not available in this AWS region", "Must be one of [WEBSOCKET]", and an error
/// about an empty function's name in broken JSON, so that nothing is left of it but the status
/// (eu-central-2, eu-south-2, ap-southeast-3, ap-southeast-7). Where there is no such service at all,
/// its name is unknown (only `of_aws` then), or nothing knows the operation.
fn says_unavailable(error: &ApiError, of_aws: bool) -> Option<bool> {
    let says = |texts: &[&str]| texts.iter().any(|text| error.message.contains(text));
    if says(&["HTTP APIs are not available", "Must be one of [WEBSOCKET]"]) {
        return Some(true);
    }
    let unnamed = error.code.is_none() && matches!(error.status, Some(400..=404));
    let no_operation = [
        "UnknownOperation",
        "UnsupportedOperation",
        "MissingAuthenticationToken",
        "NotFound",
        "ResourceNotFound",
    ];
    let maybe = unnamed
        || says(&["'functionName' failed to satisfy constraint"])
        || (of_aws && error.unanswered && error.is_unknown_host())
        || no_operation.iter().any(|code| error.is(code));
    maybe.then_some(false)
}

/// Those of several of ours that exist, first the one that stays. Of two that were created at the
/// same time it is the oldest, so that every run takes the same one.
pub(super) async fn by_age(cx: &Context<'_>, apis: Vec<Api>) -> Result<Vec<Api>> {
    Ok(aged(cx, apis).await?.into_iter().map(|(api, _)| api).collect())
}

/// The same for a plan: first the one that functions let call them, then the one with the most
/// routes, then the oldest.
pub(super) async fn by_use(
    cx: &Context<'_>,
    apis: Vec<Api>,
    functions: impl Iterator<Item = &String>,
) -> Result<Vec<Api>> {
    let mut ranked = aged(cx, apis).await?;
    let policies = functions.map(|function| permission::policy(cx, function));
    let policies = try_join_all(policies).await?.concat();
    let calls = |api: &Api| {
        let id = api.api_id().unwrap_or_default();
        policies.iter().filter(|statement| statement.is_for_api(id)).count()
    };
    ranked.sort_by_key(|(api, routes)| Reverse((calls(api), *routes)));
    Ok(ranked.into_iter().map(|(api, _)| api).collect())
}

async fn aged(cx: &Context<'_>, apis: Vec<Api>) -> Result<Vec<(Api, usize)>> {
    let mut aged = existing_with_routes(cx, apis).await?;
    aged.sort_by_key(|(api, _)| (api.created_date.map(|date| date.secs()), api.api_id.clone()));
    Ok(aged)
}

/// Those of several that exist, each with the number of its routes: one that was just deleted is
/// listed for a while.
async fn existing_with_routes(cx: &Context<'_>, apis: Vec<Api>) -> Result<Vec<(Api, usize)>> {
    let count = async |api: &Api| match routes(cx, api.api_id().unwrap_or_default()).await {
        Ok(routes) => Ok(Some(routes.len())),
        Err(error) if ApiError::is_not_found_in(&error) => Ok(None),
        // Somebody else's may be hidden from us.
        Err(error) if error.downcast_ref().is_some_and(ApiError::is_denied) => Ok(Some(0)),
        Err(error) => Err(error),
    };
    let counts = try_join_all(apis.iter().map(count)).await?;
    Ok(apis.into_iter().zip(counts).filter_map(|(api, count)| Some((api, count?))).collect())
}

/// Whether it was created a moment ago, by this machine's clock: its parts may not be known yet.
pub(super) fn is_young(api: &Api) -> bool {
    let created = api.created_date.and_then(|date| SystemTime::try_from(date).ok());
    created.and_then(|created| created.elapsed().ok()).is_some_and(|age| age < YOUNG)
}

/// An API with its parts. Fails with an API's "not found" if there is no such API.
pub(super) async fn parts(cx: &Context<'_>, mut state: State) -> Result<State> {
    let id = state.id.clone();
    let (integrations, routes, served, others) = tokio::try_join!(
        integrations(cx, &id),
        seen_routes(cx, &id),
        stage(cx, &id),
        other_stages(cx, &id)
    )?;
    let watched = &mut state.notices.watched;
    watched.extend(integrations.2);
    watched.extend(routes.1);
    watched.extend(served.1);
    (state.integrations, state.strays) = (integrations.0, integrations.1);
    (state.routes, state.doubles, state.stage) = (routes.0, routes.2, served.0);
    state.notices.extend(others);
    Ok(state)
}

/// The first integration of each function, the ids of all others, and what somebody has set of any.
pub(super) async fn integrations(
    cx: &Context<'_>,
    id: &str,
) -> Result<(BTreeMap<String, Integration>, Vec<String>, Vec<Watched>)> {
    const CALL: &str = "apigateway:GetIntegrations";
    let listed = Pages::of(CALL, id).all(|token| async move {
        let request = cx.cloud.apigateway.get_integrations().api_id(id).set_next_token(token);
        let raw = Raw::default();
        let request = || request.clone().customize().interceptor(raw.clone()).send();
        let answer = Call::new(CALL, id).send(request).await?;
        Ok((page(answer.items, &raw, (CALL, id))?, answer.next_token))
    });
    let (mut all, mut strays, mut watched) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (found, seen) in listed.await? {
        let uri = found.integration_uri.unwrap_or_default();
        let label = format!("integration of {}: ", function_name(&uri));
        watched.extend(looks::INTEGRATIONS.notices(&label, &seen, ""));
        let integration = Integration {
            id: found.integration_id.unwrap_or_default(),
            payload: found.payload_format_version.unwrap_or_default(),
            created: false,
        };
        match all.entry(uri) {
            Entry::Vacant(entry) => drop(entry.insert(integration)),
            Entry::Occupied(_) => strays.push(integration.id),
        }
    }
    Ok((all, strays, watched))
}

/// The first route of each key.
pub(super) async fn routes(cx: &Context<'_>, id: &str) -> Result<BTreeMap<String, Route>> {
    Ok(seen_routes(cx, id).await?.0)
}

/// The first route of each key, what somebody has set of any, and the ids of all others.
async fn seen_routes(
    cx: &Context<'_>,
    id: &str,
) -> Result<(BTreeMap<String, Route>, Vec<Watched>, Vec<String>)> {
    const CALL: &str = "apigateway:GetRoutes";
    let listed = Pages::of(CALL, id).all(|token| async move {
        let request = cx.cloud.apigateway.get_routes().api_id(id).set_next_token(token);
        let raw = Raw::default();
        let request = || request.clone().customize().interceptor(raw.clone()).send();
        let answer = Call::new(CALL, id).send(request).await?;
        Ok((page(answer.items, &raw, (CALL, id))?, answer.next_token))
    });
    let (mut all, mut watched, mut doubles) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (found, seen) in listed.await? {
        let key = found.route_key.unwrap_or_default();
        watched.extend(looks::ROUTES.notices(&format!("route {key}: "), &seen, ""));
        let route = Route {
            id: found.route_id.unwrap_or_default(),
            target: found.target.unwrap_or_default(),
            authorization: found
                .authorization_type
                .map_or("NONE".to_owned(), |kind| kind.as_str().to_owned()),
        };
        match all.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(route)),
            Entry::Occupied(_) => doubles.push(route.id),
        }
    }
    Ok((all, watched, doubles))
}

/// The stage that serves, and what somebody has set of it.
async fn stage(cx: &Context<'_>, id: &str) -> Result<(Option<ServingStage>, Vec<Watched>)> {
    let raw = Raw::default();
    let request = || {
        let request = cx.cloud.apigateway.get_stage().api_id(id).stage_name(STAGE);
        request.customize().interceptor(raw.clone()).send()
    };
    let answer = Call::new("apigateway:GetStage", id).send(request).await;
    let found = match answer {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok((None, Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let watched = looks::STAGE.notices("stage: ", &raw.take(), "");
    let settings = found.default_route_settings;
    let stage = ServingStage {
        auto_deploy: found.auto_deploy.unwrap_or_default(),
        rate: settings.as_ref().and_then(|settings| settings.throttling_rate_limit).map(rate),
        burst: settings.as_ref().and_then(|settings| settings.throttling_burst_limit),
    };
    Ok((Some(stage), watched))
}

/// Entrances that are not of advent's making.
async fn other_stages(cx: &Context<'_>, id: &str) -> Result<Notices> {
    const CALL: &str = "apigateway:GetStages";
    let listed = Pages::of(CALL, id).all(|token| async move {
        let request = cx.cloud.apigateway.get_stages().api_id(id).set_next_token(token);
        let raw = Raw::default();
        let request = || request.clone().customize().interceptor(raw.clone()).send();
        let answer = Call::new(CALL, id).send(request).await?;
        Ok((page(answer.items, &raw, (CALL, id))?, answer.next_token))
    });
    let mut notices = Notices::default();
    let listed = optional("other stages", listed.await, &mut notices.unread)?;
    for (_, seen) in listed.into_iter().flatten() {
        notices.watched.extend(looks::STAGES.notices("other stage: ", &seen, ""));
    }
    Ok(notices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_without_http_apis_is_known_by_its_answers() {
        let answer = |status, code: &str, message: &str| {
            let error = ApiError::within("apigateway:CreateApi", "small", code, message);
            let code = error.code.clone().filter(|code| !code.is_empty());
            says_unavailable(&ApiError { status: Some(status), code, ..error }, true)
        };
        let bad = "BadRequestException";
        let empty = "1 validation error detected: Value 'arn:aws:lambda:eu-south-2:1:function:' at \
                     'functionName' failed to satisfy constraint";
        for (status, code, message, said) in [
            (400, bad, "HTTP APIs are not available in this AWS region", Some(true)),
            (400, bad, "Must be one of [WEBSOCKET]", Some(true)),
            (400, bad, empty, Some(false)),
            (400, "", "invalid escape at line 1 column 48", Some(false)),
            (
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
                Some(false),
            ),
            (404, "UnknownOperationException", "", Some(false)),
            (400, bad, "Invalid protocol specified", None),
            (403, "AccessDeniedException", "User: u is not authorized", None),
            (429, "TooManyRequestsException", "Too Many Requests", None),
            (500, "", "", None),
        ] {
            assert_eq!(answer(status, code, message), said, "{status} {code} {message}");
        }
        let nobody = ApiError {
            unanswered: true,
            code: None,
            ..ApiError::within("apigateway:GetApis", "all", "", "Name or service not known")
        };
        assert_eq!(says_unavailable(&nobody, true), Some(false));
        assert_eq!(says_unavailable(&nobody, false), None);
    }
}
