//! An HTTP API with its integrations, routes and `$default` stage.

mod looks;
mod read;

pub use self::{looks::LOOKS, read::rate};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_apigatewayv2::types::{IntegrationType, ProtocolType, RouteSettings};
use tokio::time::{Instant, sleep};

use crate::aws::naming::Lacking;
use crate::aws::retry::{gone, poll_pause};
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait};
use crate::engine::{Changes, Diff, Found, Notices, Overtaken, Purpose, Resource};

const STAGE: &str = "$default";
/// How long a list of APIs may lack one that was just created.
const HIDDEN: Duration = Duration::from_secs(20);
/// How long the parts of an API that was just created may be unknown although it is listed.
const UNSEEN: Duration = Duration::from_secs(5);
const PAYLOAD: &str = "2.0";
/// Times that the creation of an API is tried after a fault.
const ATTEMPTS: u64 = 4;

/// Children of one API must not be changed at once; somebody else may be at it.
const CONCURRENT: [Wait; 1] = [Wait {
    code: "Conflict",
    message: "concurrent modification",
    note: "waiting for another change of the API to end",
    at_most: Duration::from_mins(2),
}];

pub struct HttpApi {
    pub name: String,
    /// Name of the function behind each route key.
    pub routes: BTreeMap<String, String>,
    /// Requests a second.
    pub rate: f64,
    pub burst: i32,
    pub names: Names,
}

#[derive(Debug, Clone)]
pub struct State {
    pub id: String,
    /// Address of the `$default` stage, without a slash at its end.
    pub endpoint: String,
    name: String,
    /// Integrations by the ARN of the function behind them.
    integrations: BTreeMap<String, Integration>,
    /// Ids of more integrations of the same functions, left by creates whose answers were lost.
    strays: Vec<String>,
    /// By route key.
    routes: BTreeMap<String, Route>,
    stage: Option<Stage>,
    /// More APIs with our tags, left by a create whose answer was lost.
    duplicates: Vec<String>,
    notices: Notices,
    lacking: Lacking,
}

#[derive(Debug, Clone)]
struct Integration {
    id: String,
    payload: String,
}

#[derive(Debug, Clone)]
struct Route {
    id: String,
    /// `integrations/{id}`.
    target: String,
    authorization: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Stage {
    auto_deploy: bool,
    rate: Option<f64>,
    burst: Option<i32>,
}

impl Resource for HttpApi {
    const KIND: &'static str = "http api";
    type Cloud = Cloud;
    type Inputs = ();
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, state: &State) -> Option<String> {
        Some(self.names.api_arn(&state.id))
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn read(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let (all, raw) = read::list(cx).await?;
        let all = read::with_tags(cx, &self.name, all).await?;
        let (mut ours, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|api| read::stranger(&self.names, api).is_none());
        // Which of them is real decides which one stays. Of only one, its parts tell.
        if ours.len() > 1 {
            ours = read::existing(cx, ours).await?;
        }
        // Everybody who looks takes the same one for the first.
        ours.sort_by_key(|api| (api.created_date.map(|date| date.secs()), api.api_id.clone()));
        let mut ours = ours.into_iter();
        if let Some(first) = ours.next() {
            let mut state = read::bare(&first);
            state.lacking = self.names.lacking(&read::tags(&first));
            state.duplicates = ours.filter_map(|api| api.api_id).collect();
            if cx.purpose == Purpose::Delete {
                return Ok(Found::Ours(state));
            }
            let seen = raw.iter().find(|api| api["apiId"] == *state.id);
            state.notices.watched =
                seen.map(|api| looks::API.notices("", api, &self.name)).unwrap_or_default();
            let begun = Instant::now();
            loop {
                match Box::pin(read::parts(cx, state.clone())).await {
                    Err(error) if !ApiError::is_not_found_in(&error) => return Err(error),
                    Ok(state) => return Ok(Found::Ours(state)),
                    Err(_) if read::is_young(&first) && begun.elapsed() < UNSEEN => {
                        cx.note("waiting for the new API to be seen");
                        sleep(poll_pause(begun.elapsed())).await;
                    }
                    // Deleted: lists go on to have it for a while.
                    Err(_) => break,
                }
            }
        }
        let namesakes = others.into_iter().filter(|api| api.name() == Some(&self.name)).collect();
        let namesakes = read::existing(cx, namesakes).await?;
        let whose = namesakes.first().and_then(|api| read::stranger(&self.names, api));
        Ok(whose.map_or(Found::Missing, Found::Foreign))
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        changes.compare("name", &state.name, &self.name);
        state.lacking.compare(&mut changes);
        let keys: BTreeSet<_> = self.routes.keys().chain(state.routes.keys()).collect();
        for key in keys {
            let from = state.routes.get(key).map_or("none".to_owned(), |route| state.behind(route));
            let to = self.routes.get(key).map_or("none", String::as_str);
            changes.compare(&format!("route {key}"), from.as_str(), to);
            if let Some(route) = state.routes.get(key) {
                let field = format!("authorization of route {key}");
                changes.compare(&field, route.authorization.as_str(), "NONE");
            }
        }
        for (arn, integration) in &state.integrations {
            if self.functions().contains(arn) {
                let field = format!("payload format for {}", read::function_name(arn));
                changes.compare(&field, integration.payload.as_str(), PAYLOAD);
            }
        }
        let throttle = |rate: Option<f64>, burst: Option<i32>| match (rate, burst) {
            (Some(rate), Some(burst)) => format!("{rate}/s, burst {burst}"),
            _ => "none".to_owned(),
        };
        let to = throttle(Some(self.rate), Some(self.burst));
        match &state.stage {
            None => changes.push(&format!("stage {STAGE}"), "none", to),
            Some(found) => {
                changes.compare("throttle", &throttle(found.rate, found.burst), &to);
                changes.compare("automatic deployment", &found.auto_deploy, &true);
            }
        }
        if !state.strays.is_empty() {
            changes.push("duplicate integrations", state.strays.join(", "), "none");
        }
        if !state.duplicates.is_empty() {
            changes.push("duplicates", state.duplicates.join(", "), "none");
        }
        changes.update()
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let request = || {
            cx.cloud
                .apigateway
                .create_api()
                .name(&self.name)
                .protocol_type(ProtocolType::Http)
                .set_tags(Some(self.names.all_tags().into_iter().collect()))
                .send()
        };
        let mut attempt = 0;
        let state = loop {
            let created = Call::new("apigateway:CreateApi", &self.name).once().send(request).await;
            match created {
                Ok(api) => {
                    break State {
                        id: api.api_id.context("API Gateway answered without the API's id")?,
                        endpoint: api.api_endpoint.unwrap_or_default(),
                        name: self.name.clone(),
                        ..State::empty()
                    };
                }
                // It may exist now, and would exist twice: names of APIs are not unique.
                Err(error) if error.is_fault() && attempt < ATTEMPTS => {
                    cx.note("looking whether the API was created");
                    sleep(poll_pause(Duration::from_secs(attempt))).await;
                    attempt += 1;
                    if let Found::Ours(state) = Box::pin(self.read(cx)).await? {
                        break state;
                    }
                }
                Err(error) => return Err(read::unavailable(cx, error)),
            }
        };
        self.update(&(), &state, cx).await
    }

    /// Of two that were created at the same time, all agree on the one that stays.
    async fn settle(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        let only_ids = cx.for_purpose(Purpose::Delete);
        let begun = Instant::now();
        loop {
            if let Found::Ours(found) = Box::pin(self.read(&only_ids)).await?
                && (found.id == state.id || found.duplicates.contains(&state.id))
            {
                for duplicate in &found.duplicates {
                    delete_api(cx, duplicate).await?;
                }
                return if found.id == state.id { Ok(()) } else { Err(Overtaken.into()) };
            }
            // The list lags, or the other run has deleted this one already.
            if begun.elapsed() > HIDDEN {
                return Err(Overtaken.into());
            }
            cx.note("waiting for the new API to be listed");
            sleep(poll_pause(begun.elapsed())).await;
        }
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        match Box::pin(self.put(state.clone(), cx)).await {
            Err(error) if ApiError::is_not_found_in(&error) => {
                Err(read::lost(cx, &self.name, &state.id, error).await)
            }
            put => put,
        }
    }

    async fn delete(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        for id in state.duplicates.iter().chain([&state.id]) {
            delete_api(cx, id).await?;
        }
        Ok(())
    }
}

impl HttpApi {
    /// What is needed to read and delete the API when none is wanted any longer.
    pub fn named(names: &Names) -> Self {
        let (name, names) = (names.api(None), names.clone());
        Self { name, routes: BTreeMap::new(), rate: 0.0, burst: 0, names }
    }

    /// Brings all of its parts to what they should be.
    async fn put(&self, mut state: State, cx: &Context<'_>) -> Result<State> {
        for duplicate in std::mem::take(&mut state.duplicates) {
            delete_api(cx, &duplicate).await?;
        }
        if state.name != self.name {
            let request = cx.cloud.apigateway.update_api().api_id(&state.id).name(&self.name);
            self.call(cx, "apigateway:UpdateApi").send(|| request.clone().send()).await?;
            state.name.clone_from(&self.name);
        }
        let lacking = std::mem::take(&mut state.lacking);
        if !lacking.is_empty() {
            let request = cx
                .cloud
                .apigateway
                .tag_resource()
                .resource_arn(self.names.api_arn(&state.id))
                .set_tags(Some(lacking.tags().into_iter().collect()));
            self.call(cx, "apigateway:TagResource").send(|| request.clone().send()).await?;
        }
        // One after another: API Gateway refuses concurrent changes of one API.
        for arn in self.functions() {
            self.put_integration(&mut state, &arn, cx).await?;
        }
        for (key, function) in &self.routes {
            self.put_route(&mut state, key, function, cx).await?;
        }
        let extra = |key: &&String| !self.routes.contains_key(*key);
        for key in state.routes.keys().filter(extra).cloned().collect::<Vec<_>>() {
            if let Some(Route { id, .. }) = state.routes.remove(&key) {
                let request = cx.cloud.apigateway.delete_route().api_id(&state.id).route_id(id);
                gone(
                    self.call(cx, "apigateway:DeleteRoute").send(|| request.clone().send()).await,
                )?;
            }
        }
        let wanted = self.functions();
        let unused = state.integrations.extract_if(.., |arn, _| !wanted.contains(arn));
        let unused: Vec<_> = unused.map(|(_, integration)| integration.id).collect();
        for id in unused.into_iter().chain(std::mem::take(&mut state.strays)) {
            let request =
                cx.cloud.apigateway.delete_integration().api_id(&state.id).integration_id(id);
            let deleted =
                self.call(cx, "apigateway:DeleteIntegration").send(|| request.clone().send()).await;
            gone(deleted)?;
        }
        // Last: a stage without routes fails to deploy.
        self.put_stage(&mut state, cx).await?;
        Ok(state)
    }

    /// ARNs of the functions behind the routes.
    fn functions(&self) -> BTreeSet<String> {
        self.routes.values().map(|function| self.names.function_arn(function)).collect()
    }

    fn call<'a>(&'a self, cx: &'a Context<'a>, operation: &'static str) -> Call<'a> {
        Call::new(operation, &self.name).wait(cx, &CONCURRENT)
    }

    async fn put_integration(&self, state: &mut State, arn: &str, cx: &Context<'_>) -> Result<()> {
        let api = &cx.cloud.apigateway;
        match state.integrations.get_mut(arn) {
            Some(integration) if integration.payload == PAYLOAD => {}
            Some(integration) => {
                let request = api
                    .update_integration()
                    .api_id(&state.id)
                    .integration_id(&integration.id)
                    .payload_format_version(PAYLOAD);
                self.call(cx, "apigateway:UpdateIntegration")
                    .send(|| request.clone().send())
                    .await?;
                PAYLOAD.clone_into(&mut integration.payload);
            }
            None => {
                let id = self.create_integration(&state.id, arn, cx).await?;
                let integration = Integration { id, payload: PAYLOAD.to_owned() };
                state.integrations.insert(arn.to_owned(), integration);
            }
        }
        Ok(())
    }

    /// Returns the integration's id.
    async fn create_integration(&self, api: &str, arn: &str, cx: &Context<'_>) -> Result<String> {
        let request = cx
            .cloud
            .apigateway
            .create_integration()
            .api_id(api)
            .integration_type(IntegrationType::AwsProxy)
            .integration_uri(arn)
            .payload_format_version(PAYLOAD);
        let mut attempt = 0;
        loop {
            let call = self.call(cx, "apigateway:CreateIntegration").once();
            match call.send(|| request.clone().send()).await {
                Ok(created) => return Ok(created.integration_id.unwrap_or_default()),
                // It may exist now, and would exist twice.
                Err(error) if error.is_fault() && attempt < ATTEMPTS => {
                    cx.note("looking whether the integration was created");
                    sleep(poll_pause(Duration::from_secs(attempt))).await;
                    attempt += 1;
                    if let Some(found) = read::integrations(cx, api).await?.0.remove(arn) {
                        return Ok(found.id);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn put_route(
        &self,
        state: &mut State,
        key: &str,
        function: &str,
        cx: &Context<'_>,
    ) -> Result<()> {
        let api = &cx.cloud.apigateway;
        let arn = self.names.function_arn(function);
        let integration = state.integrations.get(&arn).map_or("", |known| known.id.as_str());
        let target = format!("integrations/{integration}");
        match state.routes.get_mut(key) {
            Some(route) if route.target == target && route.authorization == "NONE" => {}
            Some(route) => {
                let request = api
                    .update_route()
                    .api_id(&state.id)
                    .route_id(&route.id)
                    .authorization_type("NONE".into())
                    .target(&target);
                self.call(cx, "apigateway:UpdateRoute").send(|| request.clone().send()).await?;
                (route.target, route.authorization) = (target, "NONE".to_owned());
            }
            None => {
                let request = api.create_route().api_id(&state.id).route_key(key).target(&target);
                let created =
                    self.call(cx, "apigateway:CreateRoute").send(|| request.clone().send()).await;
                let id = match created {
                    Ok(created) => created.route_id.unwrap_or_default(),
                    // An attempt whose answer was lost, or another run with its own integration.
                    Err(error) if error.is("Conflict") => {
                        let route = read::routes(cx, &state.id).await?.remove(key);
                        let same = route.filter(|route| route.target == target);
                        same.ok_or_else(|| anyhow::Error::new(Overtaken).context(error))?.id
                    }
                    Err(error) => return Err(error.into()),
                };
                let route = Route { id, target, authorization: "NONE".to_owned() };
                state.routes.insert(key.to_owned(), route);
            }
        }
        Ok(())
    }

    async fn put_stage(&self, state: &mut State, cx: &Context<'_>) -> Result<()> {
        let api = &cx.cloud.apigateway;
        let wanted = Stage { auto_deploy: true, rate: Some(self.rate), burst: Some(self.burst) };
        if state.stage.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let throttle = RouteSettings::builder()
            .throttling_rate_limit(self.rate)
            .throttling_burst_limit(self.burst)
            .build();
        if state.stage.is_none() {
            let request = api
                .create_stage()
                .api_id(&state.id)
                .stage_name(STAGE)
                .auto_deploy(true)
                .default_route_settings(throttle.clone());
            let created =
                self.call(cx, "apigateway:CreateStage").send(|| request.clone().send()).await;
            match created {
                Ok(_) => {
                    state.stage = Some(wanted);
                    return Ok(());
                }
                Err(error) if error.is("Conflict") => {}
                Err(error) => return Err(error.into()),
            }
        }
        let request = api
            .update_stage()
            .api_id(&state.id)
            .stage_name(STAGE)
            .auto_deploy(true)
            .default_route_settings(throttle);
        self.call(cx, "apigateway:UpdateStage").send(|| request.clone().send()).await?;
        state.stage = Some(wanted);
        Ok(())
    }
}

impl State {
    fn empty() -> Self {
        Self {
            id: String::new(),
            endpoint: String::new(),
            name: String::new(),
            integrations: BTreeMap::new(),
            strays: Vec::new(),
            routes: BTreeMap::new(),
            stage: None,
            duplicates: Vec::new(),
            notices: Notices::default(),
            lacking: Lacking::default(),
        }
    }

    /// Name of the function behind a route.
    fn behind(&self, route: &Route) -> String {
        let own = |(_, integration): &(&String, &Integration)| {
            route.target == format!("integrations/{}", integration.id)
        };
        let arn = self.integrations.iter().find(own);
        arn.map_or_else(|| route.target.clone(), |(arn, _)| read::function_name(arn).to_owned())
    }
}

async fn delete_api(cx: &Context<'_>, id: &str) -> Result<()> {
    let deleted = Call::new("apigateway:DeleteApi", id)
        .wait(cx, &CONCURRENT)
        .send(|| cx.cloud.apigateway.delete_api().api_id(id).send())
        .await;
    Ok(gone(deleted)?)
}
