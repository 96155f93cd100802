//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl and the AWS CLI read them.

use aws_smithy_http_client::proxy::ProxyConfig;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::failure::Failure;

/// What no proxy can reach in our stead: this machine, and the addresses at which AWS gives a
/// machine its credentials.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32,fe80::/10";

/// Where requests leave through.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts, domains and networks that are reached directly, as `NO_PROXY` lists them.
    no: String,
}

#[derive(Debug, Clone)]
struct Proxy {
    /// The variable that names it.
    variable: &'static str,
    /// With name and password, if it wants some: never shown.
    url: String,
    /// Its host and port.
    place: String,
}

impl Proxies {
    /// # Errors
    /// A [`Failure`] that names the variable that does not name a proxy.
    pub fn of_environment() -> Result<Self, Failure> {
        Self::of_variables(|name| std::env::var_os(name))
    }

    /// Names in lower case come first, as for curl and the AWS CLI.
    pub fn of_variables(
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, Failure> {
        let first = |names: [&'static str; 2]| -> Result<Option<(&'static str, String)>, Failure> {
            for name in names {
                match variable(name)
                    .filter(|value| !value.is_empty())
                    .map(std::ffi::OsString::into_string)
                {
                    Some(Ok(value)) if value.trim().is_empty() => {}
                    Some(Ok(value)) => return Ok(Some((name, value.trim().to_owned()))),
                    Some(Err(_)) => return Err(no_proxy(name)),
                    None => {}
                }
            }
            Ok(None)
        };
        let all = first(["all_proxy", "ALL_PROXY"])?;
        let of = |names| -> Result<Option<Proxy>, Failure> {
            let named = first(names)?.or_else(|| all.clone());
            named.map(|(variable, value)| Proxy::parse(variable, &value)).transpose()
        };
        let no = first(["no_proxy", "NO_PROXY"])?.map(|(_, value)| value);
        let no = no.map_or_else(|| NEVER.to_owned(), |no| format!("{no},{NEVER}"));
        let (http, https) =
            (of(["http_proxy", "HTTP_PROXY"])?, of(["https_proxy", "HTTPS_PROXY"])?);
        Ok(Self { http, https, no })
    }

    /// Of requests by https, or by http.
    pub fn config(&self, secure: bool) -> ProxyConfig {
        let config = match (&self.http, &self.https) {
            (_, Some(proxy)) if secure => ProxyConfig::https(proxy.url.as_str()),
            (Some(proxy), _) if !secure => ProxyConfig::http(proxy.url.as_str()),
            _ => Ok(ProxyConfig::disabled()),
        };
        // Whatever was parsed is one.
        config.unwrap_or_else(|_| ProxyConfig::disabled()).no_proxy(&self.no)
    }

    /// Whether the way to an HTTP proxy is by https.
    pub fn http_needs_tls(&self) -> bool {
        self.http.as_ref().is_some_and(|proxy| proxy.url.starts_with("https:"))
    }

    /// The proxy of a URL, in words.
    pub fn of(&self, url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        let url = |proxy: &Option<Proxy>| proxy.as_ref().map_or("", |p| p.url.as_str()).to_owned();
        let matcher = Matcher::builder()
            .http(url(&self.http))
            .https(url(&self.https))
            .no(self.no.clone())
            .build();
        matcher.intercept(&uri)?;
        let secure = uri.scheme_str() == Some("https");
        let proxy = if secure { &self.https } else { &self.http };
        proxy.as_ref().map(|proxy| format!("{} ({})", proxy.place, proxy.variable))
    }
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, Failure> {
        let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let failed = || no_proxy(variable);
        let uri: Uri = url.parse().map_err(|_| failed())?;
        if uri.scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) {
            let what = format!("{variable} names a SOCKS proxy, which advent cannot use");
            let hint =
                "set HTTPS_PROXY to an HTTP proxy, or unset the variable to connect directly";
            return Err(Failure::refused(what).hint(hint));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(failed)?;
        let place = match (uri.authority().map(http::uri::Authority::as_str), uri.port_u16()) {
            (_, Some(port)) => format!("{host}:{port}"),
            // A port that is no number.
            (Some(authority), None) if has_port(authority) => return Err(failed()),
            _ => host.to_owned(),
        };
        if ProxyConfig::all(url.as_str()).is_err() {
            return Err(failed());
        }
        Ok(Self { variable, url, place })
    }
}

/// Whether an authority ends with a port of some kind.
fn has_port(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.rsplit(']').next().unwrap_or_default().contains(':')
}

fn no_proxy(variable: &str) -> Failure {
    Failure::refused(format!("{variable} does not hold the URL of a proxy"))
        .hint("a proxy is written like http://proxy.example.com:8080")
}
