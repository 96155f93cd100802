//! The local cloud as AWS's own clients see it.

mod dynamodb;
mod faults;
mod functions;
mod fuzz;
mod gateway;
mod http_apis;
mod iam;
mod logs;
mod needs;
mod tagging;
mod topics;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use axum::http::request::Parts;
use tempfile::TempDir;

use super::keys::Key;
use super::server::InProcess;

/// A local cloud with a folder of its own, gone with the test.
struct Here {
    server: InProcess,
    dir: TempDir,
}

impl Here {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: InProcess::start(dir.path()).unwrap(), dir }
    }

    /// The same state, served anew.
    fn restarted(self) -> Self {
        let Self { server, dir } = self;
        drop(server);
        Self { server: InProcess::start(dir.path()).unwrap(), dir }
    }

    fn config(&self, region: &'static str, credentials: Credentials) -> aws_config::SdkConfig {
        aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new(region))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                credentials,
            ))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_smithy_types::retry::RetryConfig::disabled())
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .endpoint_url(self.server.url())
            .build()
    }

    /// Its owner's signature under a request for this service.
    fn sign(&self, parts: &mut Parts, body: &[u8], service: &str) {
        let key = &self.server.cloud().key;
        super::signature::sign(parts, body, key, (super::REGION, service)).unwrap();
    }

    fn owner(&self) -> Credentials {
        let Key { access_key_id, secret_access_key } = &self.server.cloud().key;
        Credentials::new(access_key_id, secret_access_key, None, None, "test")
    }

    fn operator(&self) -> aws_config::SdkConfig {
        self.config(super::REGION, self.owner())
    }

    /// As a function with this role.
    fn function(&self, role: &str) -> aws_config::SdkConfig {
        let session = self.server.cloud().sessions.issue(role, "f");
        self.config(
            super::REGION,
            Credentials::new(
                session.access_key_id,
                session.secret_access_key,
                Some(session.session_token),
                None,
                "test",
            ),
        )
    }
}

/// A refused call's code and message.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> (String, String) {
    let error = result.unwrap_err();
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;

async fn create_role(config: &aws_config::SdkConfig, name: &str, policy: serde_json::Value) {
    let iam = aws_sdk_iam::Client::new(config);
    iam.create_role().role_name(name).assume_role_policy_document(TRUST).send().await.unwrap();
    iam.put_role_policy()
        .role_name(name)
        .policy_name("p")
        .policy_document(policy.to_string())
        .send()
        .await
        .unwrap();
}
