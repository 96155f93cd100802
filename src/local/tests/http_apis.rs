//! HTTP APIs: their control plane, and requests to them.

use aws_sdk_apigatewayv2::Client;
use aws_sdk_apigatewayv2::types::{IntegrationType, ProtocolType, RouteSettings};
use axum::body::Bytes;
use axum::http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::functions::function_arn;
use super::{Here, refusal};

const FORM: &str = "application/x-www-form-urlencoded";

impl Here {
    fn apis(&self) -> Client {
        Client::new(&self.operator())
    }

    /// An API whose routes all lead to a function.
    async fn api(&self, function: &str, routes: &[&str]) -> (String, String) {
        let apis = self.apis();
        let api = apis.create_api().name("a").protocol_type(ProtocolType::Http).tags("t", "u");
        let api = api.send().await.unwrap();
        let (id, url) = (api.api_id.unwrap(), api.api_endpoint.unwrap());
        let integration = apis
            .create_integration()
            .api_id(&id)
            .integration_type(IntegrationType::AwsProxy)
            .integration_uri(function_arn(function))
            .payload_format_version("2.0")
            .send()
            .await
            .unwrap();
        let target = format!("integrations/{}", integration.integration_id.unwrap());
        for route in routes {
            apis.create_route().api_id(&id).route_key(*route).target(&target).send().await.unwrap();
        }
        apis.create_stage()
            .api_id(&id)
            .stage_name("$default")
            .auto_deploy(true)
            .send()
            .await
            .unwrap();
        (id, url)
    }

    async fn permit_api(&self, function: &str, sid: &str, source: String) {
        aws_sdk_lambda::Client::new(&self.operator())
            .add_permission()
            .function_name(function)
            .statement_id(sid)
            .action("lambda:InvokeFunction")
            .principal("apigateway.amazonaws.com")
            .source_arn(source)
            .send()
            .await
            .unwrap();
    }
}

async fn send(request: Request<Full<Bytes>>) -> (u16, Bytes, Response<()>) {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), bytes, Response::from_parts(parts, ()))
}

async fn post(url: &str, kind: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let request = Request::post(url).header("content-type", kind).body(Full::new(body.into()));
    let (status, body, _) = send(request.unwrap()).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
}

fn everything(id: &str) -> String {
    format!("arn:aws:execute-api:us-east-1:000000000000:{id}/*/*")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_its_function() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let (id, url) = here.api("f", &["ANY /aws_advent", "GET /items/{id}"]).await;
    let form = format!("{url}/aws_advent?a=1");
    let denied = post(&form, FORM, "text=x").await;
    assert_eq!(denied, (500, json!({"message": "Internal Server Error"})));
    let source = |path: &str| format!("arn:aws:execute-api:us-east-1:000000000000:{id}/*/{path}");
    here.permit_api("f", "s", source("*/aws_advent")).await;

    let (status, event) = post(&form, FORM, "text=x").await;
    assert_eq!(status, 200);
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("dGV4dD14"), &json!(true)));
    assert_eq!(
        (&event["routeKey"], &event["rawPath"]),
        (&json!("ANY /aws_advent"), &json!("/aws_advent"))
    );
    assert_eq!(event["requestContext"]["stage"], "$default");
    let explicit = form.replace("/aws_advent", "/$default/aws_advent");
    assert_eq!(post(&explicit, FORM, "").await.1["rawPath"], "/aws_advent");
    let port = here.server.url().rsplit_once(':').unwrap().1;
    let request = Request::post(format!("http://127.0.0.1:{port}/aws_advent"))
        .header("host", format!("{id}.execute-api.localhost:{port}"))
        .body(Full::default());
    assert_eq!(send(request.unwrap()).await.0, 200);
    let not_found = (404, json!({"message": "Not Found"}));
    for path in ["/aws_advent/", "/", "/other"] {
        assert_eq!(post(&format!("{url}{path}"), FORM, "").await, not_found);
    }
    assert_eq!(post(&url.replace(&id, "nosuchapi0"), FORM, "").await, not_found);

    // The other route needs a permission of its own.
    let get = || send(Request::get(format!("{url}/items/a%20b")).body(Full::default()).unwrap());
    assert_eq!(get().await.0, 500);
    here.permit_api("f", "t", source("GET/items/*")).await;
    let (status, body, _) = get().await;
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &event["pathParameters"]), (200, &json!({"id": "a b"})));

    assert_eq!(post(&form, FORM, vec![b'x'; 11 << 20]).await.0, 413);
    assert_eq!(post(&form, FORM, vec![b'x'; 6 << 20]).await.0, 413);
    let wide = Request::get(&form).header("x-wide", "x".repeat(11_000)).body(Full::default());
    assert_eq!(send(wide.unwrap()).await.0, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_becomes_a_response() {
    let here = Here::start();
    here.role().await;
    let answers = [
        (
            "full",
            json!({"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["c=d"], "body": "made"}),
            201,
        ),
        ("plain", json!({"text": "hi"}), 200),
        ("wrong", json!({"statusCode": "x"}), 500),
    ];
    for (name, answer, status) in answers {
        here.create_function(name, &[("ANSWER", &answer.to_string())]).await;
        let (id, url) = here.api(name, &["$default"]).await;
        here.permit_api(
            name,
            "s",
            format!("arn:aws:execute-api:us-east-1:000000000000:{id}/*/$default"),
        )
        .await;
        let (got, body, response) = send(Request::get(url).body(Full::default()).unwrap()).await;
        assert_eq!(got, status, "{name}");
        match name {
            "full" => {
                assert_eq!(body, "made");
                assert_eq!(response.headers()["x-a"], "b");
                assert_eq!(response.headers()["set-cookie"], "c=d");
            }
            "plain" => assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), answer),
            _ => {}
        }
    }
    for (name, variable) in [("fails", ("FAIL", "1")), ("crashes", ("INIT", "crash"))] {
        here.create_function(name, &[variable, ("RECORD", &here.record().1)]).await;
        let (id, url) = here.api(name, &["ANY /x"]).await;
        here.permit_api(name, "s", everything(&id)).await;
        let answer = post(&format!("{url}/x"), "text/plain", "x").await;
        assert_eq!(answer, (500, json!({"message": "Internal Server Error"})), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_throttles() {
    let here = Here::start();
    here.role().await;
    here.create_function("f", &[]).await;
    let (id, url) = here.api("f", &["ANY /x"]).await;
    here.permit_api("f", "s", everything(&id)).await;
    let settings =
        RouteSettings::builder().throttling_rate_limit(0.01).throttling_burst_limit(3).build();
    let update = here.apis().update_stage().api_id(&id).stage_name("$default");
    update.default_route_settings(settings).send().await.unwrap();
    let url = format!("{url}/x");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(post(&url, "text/plain", "x").await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(post(&url, FORM, "x").await.1, json!({"message": "Too Many Requests"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_lives_with_all_its_parts() {
    let here = Here::start();
    let (id, _) = here.api("f", &["ANY /x"]).await;
    let here = here.restarted();
    let apis = here.apis();
    let read = apis.get_apis().send().await.unwrap();
    assert_eq!((read.items()[0].api_id(), read.items()[0].name()), (Some(id.as_str()), Some("a")));
    let integrations = apis.get_integrations().api_id(&id).send().await.unwrap();
    let integration = integrations.items()[0].integration_id().unwrap();
    assert_eq!(integrations.items()[0].timeout_in_millis(), Some(30_000));
    let routes = apis.get_routes().api_id(&id).send().await.unwrap();
    let route = routes.items()[0].route_id().unwrap();

    let twice = apis.create_route().api_id(&id).route_key("ANY /x").send().await;
    let (code, text) = refusal(twice);
    assert!(code == "ConflictException" && text.contains("already exists"), "{code} {text}");
    let twice = apis.create_stage().api_id(&id).stage_name("$default").auto_deploy(true);
    assert_eq!(refusal(twice.send().await).0, "ConflictException");
    let in_use = apis.delete_integration().api_id(&id).integration_id(integration).send().await;
    assert_eq!(refusal(in_use).0, "ConflictException");
    let unversioned = apis
        .create_integration()
        .api_id(&id)
        .integration_type(IntegrationType::AwsProxy)
        .integration_uri(function_arn("f"))
        .send()
        .await;
    assert_eq!(refusal(unversioned).0, "BadRequestException");
    let (code, text) = refusal(apis.get_api().api_id("nosuchapi0").send().await);
    assert!(code == "NotFoundException" && text.starts_with("Invalid API identifier"), "{text}");

    apis.update_route().api_id(&id).route_id(route).route_key("ANY /y").send().await.unwrap();
    let changed = apis.get_route().api_id(&id).route_id(route).send().await.unwrap();
    assert_eq!(changed.route_key(), Some("ANY /y"));
    let arn = format!("arn:aws:apigateway:us-east-1::/apis/{id}");
    apis.tag_resource().resource_arn(&arn).tags("v", "w").send().await.unwrap();
    apis.untag_resource().resource_arn(&arn).tag_keys("t").send().await.unwrap();
    let tags = apis.get_tags().resource_arn(&arn).send().await.unwrap();
    assert_eq!(tags.tags().unwrap().keys().collect::<Vec<_>>(), ["v"]);

    apis.delete_route().api_id(&id).route_id(route).send().await.unwrap();
    let stage = apis.get_stage().api_id(&id).stage_name("$default").send().await.unwrap();
    assert!(stage.last_deployment_status_message().unwrap().contains("At least one route"));
    apis.delete_integration().api_id(&id).integration_id(integration).send().await.unwrap();
    apis.delete_api().api_id(&id).send().await.unwrap();
    assert_eq!(refusal(apis.delete_api().api_id(&id).send().await).0, "NotFoundException");
    assert!(apis.get_apis().send().await.unwrap().items().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn apis_are_listed_in_pages() {
    let here = Here::start();
    let apis = here.apis();
    for number in 0..5 {
        let name = format!("api {number}");
        apis.create_api().name(name).protocol_type(ProtocolType::Http).send().await.unwrap();
    }
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let page = apis.get_apis().max_results("2").set_next_token(token).send().await.unwrap();
        assert!(page.items().len() <= 2);
        names.extend(page.items().iter().map(|api| api.name().unwrap().to_owned()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    names.sort_unstable();
    assert_eq!(names, (0..5).map(|number| format!("api {number}")).collect::<Vec<_>>());
}
