//! What is done about each property of an HTTP API and its parts.

use super::super::watch::{HAND, Look, Usual, identity, ignored, ours, watched};

const SOCKETS: &str = "of WebSocket APIs only";
const KEEPER: &str = "quick create manages its parts itself; advent never does";

pub const API: Look = Look {
    call: "apigateway:GetApis",
    root: "items[]",
    properties: &[
        identity("apiEndpoint", "API Gateway gives it"),
        ignored("apiGatewayManaged", KEEPER),
        identity("apiId", "API Gateway gives it"),
        ignored("apiKeySelectionExpression", SOCKETS),
        watched("corsConfiguration", Usual::Nothing, HAND),
        identity("createdDate", "of several the oldest stays"),
        watched("description", Usual::Nothing, "a text for people"),
        ignored("disableSchemaValidation", SOCKETS),
        watched(
            "disableExecuteApiEndpoint",
            Usual::Nothing,
            "whoever has a domain of his own may close it on purpose",
        )
        .alarming("the URL that advent prints answers nobody"),
        ignored("importInfo", "how it was made"),
        watched("ipAddressType", Usual::Any(&["ipv4"]), HAND),
        ours("name", "name", "it is known by its tags"),
        identity("protocolType", "fixed when it is created"),
        ignored("routeSelectionExpression", "one value only for HTTP APIs"),
        ours("tags", "tag ", "those of advent.toml; others belong to whoever set them"),
        watched("version", Usual::Nothing, "a text for people"),
        ignored("warnings", "how it was made"),
    ],
};

pub const STAGE: Look = Look {
    call: "apigateway:GetStage",
    root: "",
    properties: &[
        watched("accessLogSettings", Usual::Nothing, HAND),
        ignored("apiGatewayManaged", KEEPER),
        ours("autoDeploy", "automatic deployment", "what `up` changes is live at once"),
        ignored("clientCertificateId", SOCKETS),
        ignored("createdDate", "says nothing of what it is"),
        ignored("defaultRouteSettings.dataTraceEnabled", SOCKETS),
        watched("defaultRouteSettings.detailedMetricsEnabled", Usual::Nothing, HAND),
        ignored("defaultRouteSettings.loggingLevel", SOCKETS),
        ours("defaultRouteSettings.throttlingBurstLimit", "throttle", "advent.toml says it"),
        ours("defaultRouteSettings.throttlingRateLimit", "throttle", "advent.toml says it"),
        ignored("deploymentId", "changes with every deployment"),
        watched("description", Usual::Nothing, "a text for people"),
        ignored("lastDeploymentStatusMessage", "of the last deployment"),
        ignored("lastUpdatedDate", "says nothing of what it is"),
        watched("routeSettings", Usual::Nothing, "limits of a route, beside those of the stage"),
        identity("stageName", "it is found by"),
        watched("stageVariables", Usual::Nothing, HAND),
        ignored("tags", "advent tags the API"),
    ],
};

/// Of each stage but `$default` only that it is there is shown.
pub const STAGES: Look = Look {
    call: "apigateway:GetStages",
    root: "items[]",
    properties: &[
        watched("stageName", Usual::Any(&["$default"]), "another entrance, with limits of its own"),
        ignored("accessLogSettings", "of another stage: that it is there is shown"),
        ignored("apiGatewayManaged", KEEPER),
        ignored("autoDeploy", "of another stage: that it is there is shown"),
        ignored("clientCertificateId", SOCKETS),
        ignored("createdDate", "says nothing of what it is"),
        ignored("defaultRouteSettings", "of another stage: that it is there is shown"),
        ignored("deploymentId", "changes with every deployment"),
        ignored("description", "of another stage: that it is there is shown"),
        ignored("lastDeploymentStatusMessage", "of the last deployment"),
        ignored("lastUpdatedDate", "says nothing of what it is"),
        ignored("routeSettings", "of another stage: that it is there is shown"),
        ignored("stageVariables", "of another stage: that it is there is shown"),
        ignored("tags", "advent tags the API"),
    ],
};

pub const ROUTES: Look = Look {
    call: "apigateway:GetRoutes",
    root: "items[]",
    properties: &[
        ignored("apiGatewayManaged", KEEPER),
        ignored("apiKeyRequired", SOCKETS),
        ignored("authorizationScopes", "says nothing without an authorizer"),
        ours("authorizationType", "authorization of route ", "the routes of advent.toml are open"),
        ignored("authorizerId", "says nothing without authorizationType"),
        ignored("modelSelectionExpression", SOCKETS),
        watched("operationName", Usual::Nothing, "a text for people"),
        ignored("requestModels", SOCKETS),
        ignored("requestParameters", SOCKETS),
        identity("routeId", "API Gateway gives it"),
        ours("routeKey", "route ", "exactly the routes of advent.toml"),
        ignored("routeResponseSelectionExpression", SOCKETS),
        ours("target", "route ", "the function of advent.toml"),
    ],
};

pub const INTEGRATIONS: Look = Look {
    call: "apigateway:GetIntegrations",
    root: "items[]",
    properties: &[
        ignored("apiGatewayManaged", KEEPER),
        watched("connectionId", Usual::Nothing, "of private networks only"),
        watched("connectionType", Usual::Any(&["INTERNET"]), "of private networks only"),
        ignored("contentHandlingStrategy", SOCKETS),
        watched("credentialsArn", Usual::Nothing, "calls the function with a role of its own"),
        watched("description", Usual::Nothing, "a text for people"),
        identity("integrationId", "API Gateway gives it"),
        watched("integrationMethod", Usual::Any(&["POST"]), "what Lambda is called with"),
        ignored("integrationResponseSelectionExpression", SOCKETS),
        watched("integrationSubtype", Usual::Nothing, "of calls to other services"),
        watched("integrationType", Usual::Any(&["AWS_PROXY"]), "fixed by what is called"),
        identity("integrationUri", "the function that it is found by"),
        ignored("passthroughBehavior", SOCKETS),
        ours("payloadFormatVersion", "payload format for ", "what the functions read"),
        watched("requestParameters", Usual::Nothing, HAND)
            .alarming("what callers send is changed before the function sees it"),
        ignored("requestTemplates", SOCKETS),
        watched("responseParameters", Usual::Nothing, HAND),
        ignored("templateSelectionExpression", SOCKETS),
        watched("timeoutInMillis", Usual::Any(&["30000"]), HAND),
        watched("tlsConfig", Usual::Nothing, "of private networks only"),
    ],
};

pub const LOOKS: &[Look] = &[API, STAGE, STAGES, ROUTES, INTEGRATIONS];
