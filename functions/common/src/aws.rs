//! The AWS clients: made of what Lambda puts into the environment and nothing else, and connected before they are used.

use std::{
    env, fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use futures::future::{join, join_all};
use http::{Uri, uri::Scheme};
use tokio::task::yield_now;

use crate::{Error, connections::Connections};

/// The variable, unless it is missing or empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Makes clients, and opens their connections before there is an event.
pub struct Aws {
    /// What the clients are made of.
    pub config: Lazy<SdkConfig>,
    address: Address,
    connections: Connections,
    services: Vec<&'static str>,
    others: Vec<(Connections, Uri)>,
    making: Vec<Box<dyn FnOnce()>>,
}

impl Aws {
    /// Fails where the system has no certificates to verify AWS with.
    pub fn from_env() -> Result<Self, Error> {
        Self::new(variable("AWS_REGION"), variable("AWS_ENDPOINT_URL"))
    }

    /// In a Region, unless all services are at one endpoint.
    pub fn new(region: Option<String>, endpoint: Option<String>) -> Result<Self, Error> {
        let endpoint: Option<Uri> = endpoint.map(|url| url.parse()).transpose()?;
        let address = Address { region, endpoint };
        let connections = connections(address.is_plain())?;
        let (for_clients, at) = (connections.clone(), address.clone());
        Ok(Self {
            config: Lazy::new(|| config(at, for_clients)),
            address,
            connections,
            services: Vec::new(),
            others: Vec::new(),
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

    /// Connections to a server that is not AWS's. Fails where it needs certificates to verify it and there are none.
    pub fn connections_to(&mut self, url: &Uri) -> Result<Connections, Error> {
        let plain = is_plain(url);
        let connections = if plain == self.address.is_plain() {
            self.connections.clone()
        } else {
            connections(plain)?
        };
        self.others.push((connections.clone(), url.clone()));
        Ok(connections)
    }

    /// Opens a connection to each service that has a client, and to the other servers. What AWS takes to answer within a handshake is time to make
    /// the clients, for each of which the SDK reads its table of all Regions. Without TLS there is no such time, and they
    /// are made when they are first used.
    pub async fn connect(self) {
        let urls = self.services.iter().filter_map(|service| self.address.of(service));
        let others = self.others.iter().map(|(connections, url)| connections.open([url.clone()]));
        let opening = async {
            join(self.connections.open(urls), join_all(others)).await;
        };
        if self.address.is_plain() {
            return opening.await;
        }
        let making = async {
            for make in self.making {
                yield_now().await;
                make();
            }
        };
        join(opening, making).await;
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
    config.set_endpoint_url(address.endpoint.map(|url| url.to_string()));
    config.build()
}

fn connections(plain: bool) -> Result<Connections, Error> {
    if plain { Ok(Connections::without_tls()) } else { Connections::with_tls() }
}

fn is_plain(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTP)
}

#[derive(Clone)]
struct Address {
    region: Option<String>,
    endpoint: Option<Uri>,
}

impl Address {
    fn is_plain(&self) -> bool {
        self.endpoint.as_ref().is_some_and(is_plain)
    }

    /// Where the calls to a service will go. The SDK finds that out by itself, but too late for opening a connection. For
    /// a Region whose services are not at amazonaws.com this is wrong, and of no use.
    fn of(&self, service: &str) -> Option<Uri> {
        if let Some(endpoint) = &self.endpoint {
            return Some(endpoint.clone());
        }
        let region = self.region.as_ref()?;
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{service}.{region}.amazonaws.com{suffix}").parse().ok()
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

impl<C: fmt::Debug> fmt::Debug for Lazy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_smithy_runtime_api::client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::HttpRequest,
        result::ConnectorError,
    };

    use super::*;

    /// Remembers where requests would go.
    #[derive(Clone, Debug, Default)]
    struct Nowhere(Arc<Mutex<Vec<Uri>>>);

    impl HttpConnector for Nowhere {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().expect("a lock").push(request.uri().parse().expect("a URI"));
            HttpConnectorFuture::ready(Err(ConnectorError::user("nowhere".into())))
        }
    }

    async fn called(address: Address) -> Vec<Option<String>> {
        let nowhere = Nowhere::default();
        let connector = SharedHttpConnector::new(nowhere.clone());
        let config = config(address, Connections::without_tls())
            .into_builder()
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let tables = aws_sdk_dynamodb::Client::new(&config).list_tables().send().await;
        let topics = aws_sdk_sns::Client::new(&config).list_topics().send().await;
        assert!(tables.is_err() && topics.is_err());
        let called = nowhere.0.lock().expect("a lock");
        called.iter().map(|url| url.authority().map(ToString::to_string)).collect()
    }

    #[tokio::test]
    async fn the_sdk_calls_where_connections_are_opened() {
        let regions = ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"];
        let in_regions =
            regions.map(|region| Address { region: Some(region.to_owned()), endpoint: None });
        let endpoints = ["http://127.0.0.1:4566", "HTTPS://localhost/path", "http://[::1]:1"];
        let at_endpoints = endpoints.map(|url| Address {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(url.parse().expect("a URL")),
        });
        for address in in_regions.into_iter().chain(at_endpoints) {
            let opened = ["dynamodb", "sns"].map(|service| {
                let url = address.of(service).expect("a URL");
                url.authority().map(ToString::to_string)
            });
            assert_eq!(called(address).await, opened);
        }
    }

    #[test]
    fn a_scheme_may_be_written_in_capitals() {
        let plain = |url: &str| Address { region: None, endpoint: url.parse().ok() }.is_plain();
        assert!(plain("http://localhost:1") && plain("HTTP://localhost:1"));
        assert!(!plain("https://localhost:1") && !plain("HTTPS://localhost:1"));
    }
}
