//! From a target to clients, account and Region.

use std::time::Duration;

use anyhow::Result;
use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures::FutureExt as _;

use super::credentials::{self, Kept, Operator, place};
use super::http::Http;
use super::index::Index;
use super::naming::{Names, Tags};
use super::pace;
use super::record;
use super::retry::{ApiError, Call};
use super::shared::Shared;
use crate::failure::Failure;
use crate::invocation::shell_word;
use crate::local::{Access, Key};

/// As the SDK calls the service.
const STS: &str = "STS";
/// Bytes a second that a line must carry for an upload to succeed.
const SLOWEST_UPLOAD: u64 = 50_000;
/// How long credentials may take, which a person may have to be asked for.
const SIGN_IN: Duration = Duration::from_mins(5);

/// Which cloud is meant.
#[derive(Debug, Clone)]
pub struct Target {
    /// The local cloud: no configuration of the user's is looked at then.
    pub local: Option<Access>,
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    pub region: Option<String>,
    /// How long one attempt of a call may take, but for what is uploaded with it.
    pub timeout: Duration,
}

/// The clients, and what is known of where they lead.
pub struct Cloud {
    pub names: Names,
    /// Address that stands in for AWS's own, if any.
    pub endpoint: Option<String>,
    /// Of `aws`, so that it calls this very cloud.
    options: String,
    /// What all of it is sent through.
    pub http: Http,
    /// As in [`Target`].
    timeout: Duration,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sns: aws_sdk_sns::Client,
    pub iam: aws_sdk_iam::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub apigateway: aws_sdk_apigatewayv2::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub tagging: aws_sdk_resourcegroupstagging::Client,
    pub sts: aws_sdk_sts::Client,
    /// What the tagging API says is this stage's.
    pub index: Index,
    /// Answers that the resources of one kind look at, until the cloud is found to be another.
    pub answers: Shared,
    /// What else they share.
    pub shared: Shared,
}

impl Cloud {
    /// Finds credentials, Region and account.
    ///
    /// # Errors
    /// [`Failure`]s for what the user has to set up: no or bad credentials, no Region, an unknown
    /// profile, an endpoint that does not answer.
    pub async fn connect(target: &Target, stack: &str, stage: &str) -> Result<Self> {
        let (config, http) = match &target.local {
            Some(local) => {
                pace::off();
                let http = Http::direct();
                (local_config(local, target, &http)?, http)
            }
            None => user_config(target).await?,
        };
        let config = record::recording(config);
        let profile = target.profile.as_deref().filter(|_| target.local.is_none());
        let (account, partition) = identity(&config, &http).await?;
        let names = Names {
            stack: stack.to_owned(),
            stage: stage.to_owned(),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            account,
            partition,
            own_tags: Tags::new(),
        };
        Ok(Self::new(&config, http, names, profile, target.timeout))
    }

    /// What this configuration leads to. `timeout` is as in [`Target`].
    pub fn new(
        config: &SdkConfig,
        http: Http,
        names: Names,
        profile: Option<&str>,
        timeout: Duration,
    ) -> Self {
        let endpoint = config.endpoint_url().map(str::to_owned);
        let mut options = format!(" --region {}", names.region);
        for (option, value) in [("endpoint-url", endpoint.as_deref()), ("profile", profile)] {
            if let Some(value) = value {
                options = format!("{options} --{option} {}", shell_word(value));
            }
        }
        Self {
            names,
            endpoint,
            options,
            http,
            timeout,
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            apigateway: aws_sdk_apigatewayv2::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            tagging: aws_sdk_resourcegroupstagging::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            index: Index::default(),
            answers: Shared::default(),
            shared: Shared::default(),
        }
    }

    /// `aws` with these arguments, as a shell has to be given it so that it calls this very cloud.
    /// Whoever calls the local one needs its key besides: `advent local env`.
    pub fn command(&self, arguments: &str) -> String {
        format!("aws {arguments}{}", self.options)
    }

    /// The cloud is not as it was read: lets all be asked again, and directly.
    pub fn invalidate_caches(&self) {
        self.index.distrust();
        self.answers.clear();
    }

    /// For a call that uploads so many bytes: the time that a slow line needs for them on top.
    pub fn upload(&self, bytes: usize) -> aws_sdk_lambda::config::Builder {
        let line = Duration::from_secs(bytes as u64 / SLOWEST_UPLOAD);
        aws_sdk_lambda::config::Builder::new().timeout_config(timeouts(self.timeout + line))
    }
}

async fn user_config(target: &Target) -> Result<(SdkConfig, Http)> {
    let operator = Operator::find(target).await?;
    if let Some(url) = &target.endpoint_url {
        place::check_url("--endpoint-url", url)?;
    }
    place::check_variables(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )?;
    if let Some(region) = &target.region {
        place::check_region("--region", region)?;
    }
    let http = Http::new(operator.bundle()?)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.client())
        // Of what gives the credentials; everything else is repeated by `Call`.
        .retry_config(RetryConfig::standard())
        .identity_cache(IdentityCache::lazy().load_timeout(SIGN_IN).build())
        .timeout_config(timeouts(target.timeout));
    if let Some(url) = &target.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = &operator.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let config = loader.load().await;
    let Some(region) = config.region() else {
        let hint = "pass --region REGION, set AWS_REGION, or put `region` into your AWS profile";
        return Err(Failure::refused("no AWS Region is set").hint(hint).into());
    };
    place::check_region("the configured Region", region.as_ref())?;
    if let Some(url) = config.endpoint_url() {
        place::check_url("the configured endpoint", url)?;
    }
    place::check_services(&config)?;
    let provider = match (&target.profile, config.credentials_provider()) {
        // By default the environment's keys win, even over a profile that was asked for.
        (Some(profile), _) => {
            let provider = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_http_client(http.client());
            let credentials = ProfileFileCredentialsProvider::builder()
                .configure(&provider)
                .profile_name(profile)
                .build();
            SharedCredentialsProvider::new(credentials)
        }
        (None, Some(provider)) => provider,
        (None, None) => {
            return Ok((config.into_builder().retry_config(RetryConfig::disabled()).build(), http));
        }
    };
    let provider = SharedCredentialsProvider::new(Kept::new(provider));
    let sts = endpoint_of_sts(&config);
    let found = provider.provide_credentials().await;
    let found = found.map_err(|error| operator.failure(&error, http.proxy_of(&sts).as_deref()))?;
    credentials::check(&found, &operator.from())?;
    let config = config
        .into_builder()
        .credentials_provider(provider)
        .retry_config(RetryConfig::disabled())
        .build();
    Ok((config, http))
}

/// # Errors
/// A [`Failure`] for what can be no Region's name.
fn local_config(local: &Access, target: &Target, http: &Http) -> Result<SdkConfig, Failure> {
    let region = target.region.as_deref().unwrap_or(crate::local::REGION).to_owned();
    place::check_region("--region", &region)?;
    let Key { access_key_id, secret_access_key } = &local.key;
    let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "local cloud");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http.client())
        .endpoint_url(&local.url)
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(target.timeout))
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .time_source(aws_smithy_async::time::SystemTimeSource::new());
    Ok(config.build())
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(attempt.min(Duration::from_secs(5)))
        .operation_attempt_timeout(attempt)
        .build()
}

/// Where STS is asked: always the Region's (this SDK does not know `sts_regional_endpoints`).
fn endpoint_of_sts(config: &SdkConfig) -> String {
    let region = config.region().map_or("us-east-1", AsRef::as_ref);
    let of_aws = || {
        let params = Params::builder()
            .region(region)
            .use_fips(config.use_fips().unwrap_or_default())
            .use_dual_stack(config.use_dual_stack().unwrap_or_default())
            .build()
            .ok()?;
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).now_or_never()?.ok()?;
        Some(endpoint.url().to_owned())
    };
    let given = place::endpoint_of(config, STS).or_else(of_aws);
    given.unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"))
}

/// Account and partition, from the caller's ARN.
async fn identity(config: &SdkConfig, http: &Http) -> Result<(String, String)> {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let sts = aws_sdk_sts::Client::new(config);
    let asked = Call::new("sts:GetCallerIdentity", "the operator")
        .send(|| sts.get_caller_identity().send())
        .await;
    let identity = match asked {
        Ok(identity) => identity,
        Err(error) if error.is_unknown_key() && place::is_opt_in(&region) => {
            return Err(not_accepted(config, &region, error).await);
        }
        Err(error) => return Err(unidentified(config, http, error)),
    };
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
    Ok((identity.account().unwrap_or_default().to_owned(), partition.to_owned()))
}

/// Why nobody says who the operator is.
fn unidentified(config: &SdkConfig, http: &Http, error: ApiError) -> anyhow::Error {
    if !error.unanswered {
        return error.into();
    }
    let region = config.region().map_or("", AsRef::as_ref);
    let url = endpoint_of_sts(config);
    let proxy = http.proxy_of(&url);
    let is_aws = place::endpoint_of(config, STS).is_none();
    if is_aws && proxy.is_none() && error.is_unknown_host() {
        let what = format!("there is no Region `{region}`, or no network to find it in");
        let hint = if place::looks_real(region) {
            "check --region, AWS_REGION or the profile's `region`, and the network (DNS)"
        } else {
            "check --region, AWS_REGION or the profile's `region`: Regions have names like \
             eu-west-1"
        };
        return Failure::new(what).hint(hint).source(error).into();
    }
    let (what, mut hint) = if is_aws {
        ("AWS could not be reached".to_owned(), "check the network and --region".to_owned())
    } else {
        let what = format!("the endpoint {url} does not answer");
        (what, "check --endpoint-url and AWS_ENDPOINT_URL, and that something listens".to_owned())
    };
    match proxy {
        Some(proxy) => {
            hint += "; requests go through the proxy ";
            hint += &proxy;
            hint += ": NO_PROXY lists what is reached without it";
        }
        None if is_aws => hint += "; no proxy is set for it (HTTPS_PROXY)",
        None => {}
    }
    Failure::new(what).hint(hint).source(error).into()
}

/// Why a Region that must be enabled does not know the key: another one is asked, at the endpoint
/// that was set if one was.
async fn not_accepted(config: &SdkConfig, region: &str, error: ApiError) -> anyhow::Error {
    const KNOWN: &str = "us-east-1";
    let elsewhere = aws_sdk_sts::config::Builder::from(config).region(Region::new(KNOWN)).build();
    let sts = aws_sdk_sts::Client::from_conf(elsewhere);
    let asked = Call::new("sts:GetCallerIdentity", "the operator")
        .send(|| sts.get_caller_identity().send())
        .await;
    let Ok(identity) = asked else { return error.into() };
    let account = identity.account().unwrap_or_default();
    let what = format!("the Region {region} is not enabled in account {account}");
    let hint = "enable it in that account (Account page of the console, or EnableRegion of its \
                Account Management API; it takes minutes), or choose another with --region; if it \
                is enabled, these are credentials of a session that was made at the global STS \
                endpoint: make them with AWS_STS_REGIONAL_ENDPOINTS=regional";
    Failure::refused(what).hint(hint).source(error).into()
}

#[cfg(test)]
mod tests {
    use aws_types::origin::Origin;
    use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

    use super::*;

    /// A variable or a profile's section that has this endpoint of STS, and of no other.
    #[derive(Debug)]
    struct OfSts(&'static str);

    impl LoadServiceConfig for OfSts {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            (key.service_id() == STS).then(|| self.0.to_owned())
        }
    }

    fn config(region: &'static str) -> aws_types::sdk_config::Builder {
        SdkConfig::builder().region(Region::new(region))
    }

    #[test]
    fn sts_is_where_the_sdk_asks_it() {
        let own = "http://127.0.0.1:1";
        let all = "http://127.0.0.1:2";
        assert_eq!(endpoint_of_sts(&config("eu-west-1").endpoint_url(all).build()), all);
        let both = || config("eu-west-1").endpoint_url(all).service_config(OfSts(own));
        assert_eq!(endpoint_of_sts(&both().build()), own);
        let mut option = both();
        option.insert_origin("endpoint_url", Origin::shared_config());
        assert_eq!(endpoint_of_sts(&option.build()), all);
        assert_eq!(endpoint_of_sts(&both().service_config(OfSts("")).build()), all);
        for (region, url) in [
            ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
            ("us-east-1", "https://sts.us-east-1.amazonaws.com"),
            ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
            ("us-iso-east-1", "https://sts.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "https://sts.us-isob-east-1.sc2s.sgov.gov"),
            ("eusc-de-east-1", "https://sts.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(endpoint_of_sts(&config(region).build()), url);
        }
        let fips = config("us-east-1").use_fips(true).build();
        assert_eq!(endpoint_of_sts(&fips), "https://sts-fips.us-east-1.amazonaws.com");
    }
}
