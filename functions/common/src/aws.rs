//! The AWS clients, built from what Lambda puts into the environment and nothing else.

use std::{env, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};

/// The variable, unless it is missing or empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What every client is made of; clients made from one such value share its HTTP connections.
///
/// Lambda provides Region and credentials as variables, so the provider chain of `aws-config` would only cost
/// start-up time. An attempt is given up after 2 s and tried 3 times: Slack waits 3 s.
pub fn config() -> SdkConfig {
    let endpoint = variable("AWS_ENDPOINT_URL");
    // The system's certificates are hundreds of files to read: not where none has to be verified.
    let http = if endpoint.as_ref().is_some_and(|url| url.starts_with("http://")) {
        Builder::new().build_http()
    } else {
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    };
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID").unwrap_or_default(),
        variable("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
        variable("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(variable("AWS_REGION").map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(2))
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(50))
                .with_max_backoff(Duration::from_millis(500)),
        );
    config.set_endpoint_url(endpoint);
    config.build()
}
