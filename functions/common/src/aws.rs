//! The AWS clients: made of what Lambda puts into the environment and nothing else, and ahead of their first call.

use std::{
    env,
    ops::Deref,
    pin::pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use http::Uri;
use tokio::time::timeout;

use crate::{Error, connections::Connections};

/// Time in which no client can be made.
const LITTLE: Duration = Duration::from_millis(1);

/// The variable, unless it is missing or empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Makes clients, and then whatever can be had before there is an event.
pub struct Aws {
    /// What the clients are made of.
    pub config: Lazy<SdkConfig>,
    address: Address,
    connections: Connections,
    services: Vec<&'static str>,
    making: Vec<Box<dyn FnOnce()>>,
}

impl Aws {
    /// Fails where the system has no certificates to verify AWS with.
    pub fn from_env() -> Result<Self, Error> {
        Self::new(variable("AWS_REGION"), variable("AWS_ENDPOINT_URL"))
    }

    /// In a Region, unless all services are at one endpoint.
    pub fn new(region: Option<String>, endpoint: Option<String>) -> Result<Self, Error> {
        let plain = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
        let connections = if plain { Connections::without_tls() } else { Connections::with_tls()? };
        let address = Address { region, endpoint };
        let (for_clients, at) = (connections.clone(), address.clone());
        Ok(Self {
            config: Lazy::new(|| config(at, for_clients)),
            address,
            connections,
            services: Vec::new(),
            making: Vec::new(),
        })
    }

    /// The client of a service, which is named as in its address: `dynamodb`.
    pub fn client<C: Send + Sync + 'static>(
        &mut self,
        service: &'static str,
        new: fn(&SdkConfig) -> C,
    ) -> Lazy<C> {
        let config = self.config.clone();
        let client = Lazy::new(move || new(&config));
        let same = client.clone();
        self.making.push(Box::new(move || {
            LazyLock::force(&same.0);
        }));
        self.services.push(service);
        client
    }

    /// Opens a connection to each service that has a client. A handshake with AWS leaves time to make the clients, for
    /// each of which the SDK reads its table of all Regions; without one they are made when they are first used.
    pub async fn connect(self) {
        let urls = self.services.iter().filter_map(|service| self.address.of(service));
        let mut opening = pin!(self.connections.open(urls));
        if timeout(LITTLE, &mut opening).await.is_err() {
            self.making.into_iter().for_each(|make| make());
            opening.await;
        }
    }
}

/// Lambda provides Region and credentials as variables, so the provider chain of `aws-config` would only cost start-up
/// time. An attempt is given up after 2 s and tried 3 times: Slack waits 3 s.
fn config(address: Address, connections: Connections) -> SdkConfig {
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID").unwrap_or_default(),
        variable("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
        variable("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(address.region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(connections)
        .timeout_config(
            TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(50))
                .with_max_backoff(Duration::from_millis(500)),
        );
    config.set_endpoint_url(address.endpoint);
    config.build()
}

#[derive(Clone)]
struct Address {
    region: Option<String>,
    endpoint: Option<String>,
}

impl Address {
    /// Where the calls to a service will go. The SDK finds that out by itself, but too late for opening a connection. For
    /// a Region outside of the two large partitions this is wrong, and the connection of no use.
    fn of(&self, service: &str) -> Option<Uri> {
        let url = self.endpoint.clone().or_else(|| {
            let region = self.region.as_ref()?;
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            Some(format!("https://{service}.{region}.amazonaws.com{suffix}"))
        });
        url?.parse().ok()
    }
}

/// What is made when it is first used, if not before.
pub struct Lazy<C>(Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>);

impl<C> Lazy<C> {
    fn new(make: impl FnOnce() -> C + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<C: Send + 'static> From<C> for Lazy<C> {
    fn from(made: C) -> Self {
        Self::new(|| made)
    }
}

impl<C> Clone for Lazy<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Deref for Lazy<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}
