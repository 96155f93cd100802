//! Bringing the parts of an HTTP API to what they should be, one after another.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_apigatewayv2::types::{IntegrationType, RouteSettings};
use tokio::time::sleep;

use super::PAYLOAD;
use super::{
    ATTEMPTS, CONCURRENT, HttpApi, Integration, Route, STAGE, ServingStage, State, delete_api, read,
};
use crate::aws::retry::{ignore_not_found, poll_pause};
use crate::aws::{Call, Context};
use crate::engine::Conflict;

impl HttpApi {
    /// Brings all of its parts to what they should be.
    pub(super) async fn put(&self, mut state: State, cx: &Context<'_>) -> Result<State> {
        for duplicate in std::mem::take(&mut state.duplicates) {
            delete_api(cx, &duplicate).await?;
        }
        if state.name != self.id.name {
            let request = cx.cloud.apigateway.update_api().api_id(&state.id).name(&self.id.name);
            self.call(cx, "apigateway:UpdateApi").send(|| request.clone().send()).await?;
            state.name.clone_from(&self.id.name);
        }
        let lacking = std::mem::take(&mut state.lacking);
        if !lacking.is_empty() {
            let request = cx
                .cloud
                .apigateway
                .tag_resource()
                .resource_arn(self.id.names.api_arn(&state.id))
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
        let extra: Vec<_> = state.routes.keys().filter(extra).cloned().collect();
        let extra = extra.iter().filter_map(|key| Some(state.routes.remove(key)?.id));
        for id in extra.chain(std::mem::take(&mut state.doubles)).collect::<Vec<_>>() {
            let request = cx.cloud.apigateway.delete_route().api_id(&state.id).route_id(id);
            ignore_not_found(
                self.call(cx, "apigateway:DeleteRoute").send(|| request.clone().send()).await,
            )?;
        }
        let wanted = self.functions();
        let unused = state.integrations.extract_if(.., |arn, _| !wanted.contains(arn));
        let unused: Vec<_> = unused.map(|(_, integration)| integration.id).collect();
        for id in unused.into_iter().chain(std::mem::take(&mut state.strays)) {
            self.delete_integration(&state.id, &id, cx).await?;
        }
        // Last: a stage without routes fails to deploy.
        self.put_stage(&mut state, cx).await?;
        Ok(state)
    }

    fn call<'a>(&'a self, cx: &'a Context<'a>, operation: &'static str) -> Call<'a> {
        Call::new(operation, &self.id.name).wait(cx, &CONCURRENT)
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
                let integration = Integration { id, payload: PAYLOAD.to_owned(), created: true };
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

    async fn delete_integration(&self, api: &str, id: &str, cx: &Context<'_>) -> Result<()> {
        let request = cx.cloud.apigateway.delete_integration().api_id(api).integration_id(id);
        let deleted =
            self.call(cx, "apigateway:DeleteIntegration").send(|| request.clone().send()).await;
        Ok(ignore_not_found(deleted)?)
    }

    async fn put_route(
        &self,
        state: &mut State,
        key: &str,
        function: &str,
        cx: &Context<'_>,
    ) -> Result<()> {
        let api = &cx.cloud.apigateway;
        let arn = self.id.names.function_arn(function);
        let integration = state.integrations.get(&arn).cloned();
        let integration = integration.context("a route's integration is made before it")?;
        let target = format!("integrations/{}", integration.id);
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
                        if let Some(same) = route.filter(|route| route.target == target) {
                            same.id
                        } else {
                            if integration.created {
                                self.delete_integration(&state.id, &integration.id, cx).await?;
                            }
                            return Err(anyhow::Error::new(Conflict).context(error));
                        }
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
        let wanted =
            ServingStage { auto_deploy: true, rate: Some(self.rate), burst: Some(self.burst) };
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
