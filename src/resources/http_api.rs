//! An HTTP API with its integrations, routes and `$default` stage.

mod looks;
mod read;
mod write;

pub use self::{looks::LOOKS, read::rate};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_apigatewayv2::types::ProtocolType;
use tokio::time::{Instant, sleep};

use crate::aws::naming::Lacking;
use crate::aws::retry::{ignore_not_found, poll_pause};
use crate::aws::{ApiError, Call, Cloud, Context, Names, Wait};
use crate::engine::{Changes, Conflict, Diff, Found, Identity, Notices, Part, Resource};

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

pub struct HttpApiId {
    pub name: String,
    pub names: Names,
}

pub struct HttpApi {
    pub id: HttpApiId,
    /// Name of the function behind each route key.
    pub routes: BTreeMap<String, String>,
    /// Requests a second.
    pub rate: f64,
    pub burst: i32,
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
    stage: Option<ServingStage>,
    /// Routes whose key another one has: ids. AWS refuses them, emulators do not.
    doubles: Vec<String>,
    /// More APIs with our tags, left by a create whose answer was lost.
    duplicates: Vec<String>,
    notices: Notices,
    lacking: Lacking,
}

#[derive(Debug, Clone)]
struct Integration {
    id: String,
    payload: String,
    /// By this run.
    created: bool,
}

#[derive(Debug, Clone)]
struct Route {
    id: String,
    /// `integrations/{id}`.
    target: String,
    authorization: String,
}

#[derive(Debug, Clone, PartialEq)]
struct ServingStage {
    auto_deploy: bool,
    rate: Option<f64>,
    burst: Option<i32>,
}

impl Identity for HttpApiId {
    const KIND: &'static str = "http api";
    type Client = Cloud;
    type State = State;

    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, state: &State) -> Option<String> {
        Some(self.names.api_arn(&state.id))
    }

    fn deleted_with(&self, state: &State) -> Vec<Part> {
        duplicates(state).collect()
    }

    async fn find(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let read::Listed { mut ours, others, .. } = read::list(cx, self).await?;
        if ours.len() > 1 {
            ours = read::by_age(cx, ours).await?;
        }
        match read::first(self, ours) {
            Some((is_ours, _, state)) => Ok(is_ours.found(state)),
            None => read::namesake(cx, self, others).await,
        }
    }

    async fn delete(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        for id in state.duplicates.iter().chain([&state.id]) {
            delete_api(cx, id).await?;
        }
        Ok(())
    }
}

impl Resource for HttpApi {
    type Id = HttpApiId;
    type Inputs = ();

    fn id(&self) -> &HttpApiId {
        &self.id
    }

    fn notices(&self, state: &State) -> Notices {
        state.notices.clone()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Found<State>> {
        let read::Listed { mut ours, others, raw } = read::list(cx, &self.id).await?;
        // Which of them is real, and lives, decides which one stays. Of only one, its parts tell.
        if ours.len() > 1 {
            ours = read::by_use(cx, ours, self.routes.values()).await?;
        }
        if let Some((is_ours, first, mut state)) = read::first(&self.id, ours) {
            let seen = raw.iter().find(|api| api["apiId"] == *state.id);
            state.notices.watched =
                seen.map(|api| looks::API.notices("", api, &self.id.name)).unwrap_or_default();
            let begun = Instant::now();
            loop {
                match Box::pin(read::parts(cx, state.clone())).await {
                    Err(error) if !ApiError::is_not_found_in(&error) => return Err(error),
                    Ok(state) => return Ok(is_ours.found(state)),
                    Err(_) if read::is_young(&first) && begun.elapsed() < UNSEEN => {
                        cx.note("waiting for the new API to be seen");
                        sleep(poll_pause(begun.elapsed())).await;
                    }
                    // Deleted: lists go on to have it for a while.
                    Err(_) => break,
                }
            }
        }
        read::namesake(cx, &self.id, others).await
    }

    fn diff(&self, (): &(), state: &State) -> Diff {
        let mut changes = Changes::default();
        changes.compare("name", &state.name, &self.id.name);
        state.lacking.compare(&mut changes);
        for (key, to) in &self.routes {
            let from = state.routes.get(key).map_or("none".to_owned(), |route| state.behind(route));
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
        changes.update()
    }

    fn removals(&self, state: &State) -> Vec<Part> {
        let part = |kind, name: String| Part { kind, name };
        let mut all: Vec<_> = duplicates(state).collect();
        let unwanted = state.routes.iter().filter(|(key, _)| !self.routes.contains_key(*key));
        all.extend(
            unwanted.map(|(key, it)| part("route", format!("{key} -> {}", state.behind(it)))),
        );
        all.extend(state.doubles.iter().map(|id| part("duplicate route", id.clone())));
        let wanted = self.functions();
        let unused = state.integrations.iter().filter(|(arn, _)| !wanted.contains(*arn));
        let unused = unused.map(|(arn, it)| format!("{} -> {}", it.id, read::function_name(arn)));
        all.extend(unused.map(|name| part("integration", name)));
        all.extend(state.strays.iter().map(|id| part("duplicate integration", id.clone())));
        all
    }

    async fn create(&self, (): &(), cx: &Context<'_>) -> Result<State> {
        let request = || {
            cx.cloud
                .apigateway
                .create_api()
                .name(&self.id.name)
                .protocol_type(ProtocolType::Http)
                .set_tags(Some(self.id.names.all_tags().into_iter().collect()))
                .send()
        };
        let mut attempt = 0;
        let state = loop {
            let created =
                Call::new("apigateway:CreateApi", &self.id.name).once().send(request).await;
            match created {
                Ok(api) => {
                    break State {
                        id: api.api_id.context("API Gateway answered without the API's id")?,
                        endpoint: api.api_endpoint.unwrap_or_default(),
                        name: self.id.name.clone(),
                        ..State::empty()
                    };
                }
                // It may exist now, and would exist twice: names of APIs are not unique.
                Err(error) if error.is_fault() && attempt < ATTEMPTS => {
                    cx.note("looking whether the API was created");
                    sleep(poll_pause(Duration::from_secs(attempt))).await;
                    attempt += 1;
                    if let Some(state) = Box::pin(self.observe(cx)).await?.ours() {
                        // Another run has created one as well, and no plan has named what goes.
                        if !self.removals(&state).is_empty() {
                            return Err(Conflict.into());
                        }
                        break state;
                    }
                }
                Err(error) => return Err(read::unavailable(cx, error)),
            }
        };
        self.update(&(), &state, cx).await
    }

    /// Of two that were created at the same time, all agree on the one that stays; who created the
    /// other deletes it.
    async fn wait_until_ready(&self, state: &State, cx: &Context<'_>) -> Result<()> {
        let begun = Instant::now();
        let mut met_another = false;
        loop {
            if let Some(found) = Box::pin(self.id.find(cx)).await?.ours()
                && (found.id == state.id || found.duplicates.contains(&state.id))
            {
                if found.id != state.id {
                    delete_api(cx, &state.id).await?;
                    return Err(Conflict.into());
                }
                if found.duplicates.is_empty() {
                    return if met_another { Err(Conflict.into()) } else { Ok(()) };
                }
                met_another = true;
                cx.note("waiting for another run to delete the API that it has created as well");
                if begun.elapsed() > UNSEEN {
                    return Err(Conflict.into());
                }
            } else {
                // The list lags, or the other run has deleted this one already.
                if begun.elapsed() > HIDDEN {
                    return Err(Conflict.into());
                }
                cx.note("waiting for the new API to be listed");
            }
            sleep(poll_pause(begun.elapsed())).await;
        }
    }

    async fn update(&self, (): &(), state: &State, cx: &Context<'_>) -> Result<State> {
        match Box::pin(self.put(state.clone(), cx)).await {
            Err(error) if ApiError::is_not_found_in(&error) => {
                Err(read::lost(cx, &self.id.name, &state.id, error).await)
            }
            put => put,
        }
    }
}

/// More APIs of ours.
fn duplicates(state: &State) -> impl Iterator<Item = Part> {
    state.duplicates.iter().map(|id| Part { kind: "duplicate", name: id.clone() })
}

impl HttpApi {
    /// ARNs of the functions behind the routes.
    fn functions(&self) -> BTreeSet<String> {
        self.routes.values().map(|function| self.id.names.function_arn(function)).collect()
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
            doubles: Vec::new(),
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
    Ok(ignore_not_found(deleted)?)
}
