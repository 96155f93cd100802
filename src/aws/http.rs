//! The HTTP client of everything that leaves for AWS: its proxies, and whom it trusts.

mod proxies;
#[cfg(test)]
mod tests;
mod trust;

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::failure::Failure;
use proxies::Proxies;
pub use trust::Bundle;

/// Sends each request directly or through a proxy, as the environment says for its address.
/// Copies share their connections.
#[derive(Debug, Clone)]
pub struct Http(Arc<Routes>);

struct Routes {
    proxies: Proxies,
    /// Trusted instead of the machine's roots.
    bundle: Option<Bundle>,
    /// Made when it is needed first: to read a machine's roots takes a while.
    context: OnceLock<Result<TlsContext, String>>,
    http: OnceLock<SharedHttpClient>,
    https: OnceLock<SharedHttpClient>,
}

impl Http {
    /// Through the environment's proxies.
    ///
    /// # Errors
    /// A [`Failure`] that names the variable, where one does not name a proxy.
    pub fn new(bundle: Option<Bundle>) -> Result<Self, Failure> {
        Ok(Self::with(Proxies::of_environment()?, bundle))
    }

    /// For what is on this machine: no proxy, whatever the environment says.
    pub fn direct() -> Self {
        Self::with(Proxies::default(), None)
    }

    fn with(proxies: Proxies, bundle: Option<Bundle>) -> Self {
        Self(Arc::new(Routes {
            proxies,
            bundle,
            context: OnceLock::new(),
            http: OnceLock::new(),
            https: OnceLock::new(),
        }))
    }

    /// For the SDK's clients.
    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// The proxy that requests to this URL go through, with the variable that says so.
    pub fn proxy_of(&self, url: &str) -> Option<String> {
        self.0.proxies.of(url)
    }

    /// One request outside of the SDK's clients. No time limit.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let secure = request.uri().starts_with("https:");
        let context = self.0.context(secure).map_err(|error| ConnectorError::user(error.into()))?;
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        connector(self.0.proxies.config(secure), context, None, Some(sleep)).call(request).await
    }
}

/// Whether a request was not sent at all, as there was no connection for it, so that it can be
/// sent again and arrive once.
pub fn never_left(error: &anyhow::Error) -> bool {
    let cause = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<hyper_util::client::legacy::Error>();
        error.is_some_and(hyper_util::client::legacy::Error::is_connect)
    };
    error.chain().any(cause)
}

impl Routes {
    /// What TLS needs, where there is any.
    fn context(&self, secure: bool) -> Result<Option<TlsContext>, String> {
        if !secure && !self.proxies.http_needs_tls() {
            return Ok(None);
        }
        let context = self.context.get_or_init(|| trust::context(self.bundle.as_ref()));
        context.clone().map(Some)
    }

    fn client(&self, secure: bool) -> Result<&SharedHttpClient, String> {
        let context = self.context(secure)?;
        let client = if secure { &self.https } else { &self.http };
        Ok(client.get_or_init(|| {
            let proxy = self.proxies.config(secure);
            Builder::new().build_with_connector_fn(move |settings, components| {
                let sleep = components.and_then(RuntimeComponents::sleep_impl);
                connector(proxy.clone(), context.clone(), settings, sleep)
            })
        }))
    }
}

fn connector(
    proxy: ProxyConfig,
    context: Option<TlsContext>,
    settings: Option<&HttpConnectorSettings>,
    sleep: Option<SharedAsyncSleep>,
) -> Connector {
    let mut builder = Connector::builder().proxy_config(proxy);
    builder.set_connector_settings(settings.cloned()).set_sleep_impl(sleep);
    match context {
        Some(context) => {
            builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build()
        }
        None => builder.build_http(),
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let routes = Arc::clone(&self.0);
        let (settings, components) = (settings.clone(), components.clone());
        SharedHttpConnector::new(Route { routes, settings, components })
    }
}

/// Knows where a request goes only when it is there.
#[derive(Debug)]
struct Route {
    routes: Arc<Routes>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.routes.client(request.uri().starts_with("https:")) {
            Ok(client) => client.http_connector(&self.settings, &self.components).call(request),
            Err(error) => HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}
