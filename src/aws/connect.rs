//! From a target to clients, account and Region.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::cache::Cache;
use super::index::Index;
use super::naming::{Names, Tags};
use super::pace;
use super::record;
use super::retry::{Call, Scouts};
use crate::failure::Failure;
use crate::resources::permission::Policy;
use crate::resources::subscription::Subscribed;

/// Bytes a second that a line must carry for an upload to succeed.
const SLOWEST_UPLOAD: u64 = 50_000;

/// Which cloud is meant.
#[derive(Debug, Clone)]
pub struct Target {
    /// The local cloud's address: no configuration of the user's is looked at then.
    pub local: Option<String>,
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
    /// By function name.
    pub functions: Cache<Option<Arc<GetFunctionOutput>>>,
    /// Log groups' retention in days by name, by the beginning of their names.
    pub log_groups: Cache<Arc<BTreeMap<String, Option<i32>>>>,
    /// Functions that wait for their roles to be assumable. Each attempt sends the code again.
    pub roles: Scouts,
    /// By topic ARN.
    pub topic_tags: Cache<Option<Tags>>,
    /// By topic ARN; `None` if there is no such topic.
    pub subscriptions: Cache<Option<Vec<Subscribed>>>,
    /// By function name.
    pub policies: Cache<Policy>,
    /// Held by whoever writes a function's resource policy: parallel writes lose statements.
    policy_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cloud {
    /// Finds credentials, Region and account.
    ///
    /// # Errors
    /// [`Failure`]s for what the user has to set up: no or bad credentials, no Region, an unknown
    /// profile, an endpoint that does not answer.
    pub async fn connect(target: &Target, stack: &str, stage: &str) -> Result<Self> {
        let config = match &target.local {
            Some(url) => {
                pace::off();
                local_config(url, target)
            }
            None => user_config(target).await?,
        };
        let config = record::recording(config);
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            Failure::refused("no AWS Region is set")
                .hint("say --region REGION, set AWS_REGION, or put `region` into your AWS profile")
        })?;
        let endpoint = config.endpoint_url().map(str::to_owned);
        let (account, partition) = identity(&config, endpoint.as_deref()).await?;
        Ok(Self {
            names: Names {
                stack: stack.to_owned(),
                stage: stage.to_owned(),
                region,
                account,
                partition,
            },
            endpoint,
            timeout: target.timeout,
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            apigateway: aws_sdk_apigatewayv2::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            tagging: aws_sdk_resourcegroupstagging::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            index: Index::default(),
            functions: Cache::default(),
            log_groups: Cache::default(),
            roles: Scouts::default(),
            topic_tags: Cache::default(),
            subscriptions: Cache::default(),
            policies: Cache::default(),
            policy_locks: Mutex::default(),
        })
    }

    /// The cloud is not as it was read: lets all be asked again, and directly.
    pub fn forget_answers(&self) {
        self.index.distrust();
        self.log_groups.clear();
        self.functions.clear();
        self.topic_tags.clear();
        self.subscriptions.clear();
        self.policies.clear();
    }

    /// For a call that uploads so many bytes: the time that a slow line needs for them on top.
    pub fn upload(&self, bytes: usize) -> aws_sdk_lambda::config::Builder {
        let line = Duration::from_secs(bytes as u64 / SLOWEST_UPLOAD);
        aws_sdk_lambda::config::Builder::new().timeout_config(timeouts(self.timeout + line))
    }

    /// The lock that serialises writes of a function's resource policy.
    pub fn policy_lock(&self, function: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.policy_locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(function.to_owned()).or_default())
    }
}

async fn user_config(target: &Target) -> Result<SdkConfig> {
    let https = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(target.timeout));
    if let Some(url) = &target.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = &target.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let mut config = loader.load().await;
    if let Some(profile) = &target.profile {
        // By default the environment's keys win, even over a profile that was asked for.
        let provider = ProviderConfig::without_region()
            .with_region(config.region().cloned())
            .with_http_client(https);
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&provider)
            .profile_name(profile)
            .build();
        let credentials = SharedCredentialsProvider::new(credentials);
        config = config.into_builder().credentials_provider(credentials).build();
    }
    if let Some(provider) = config.credentials_provider() {
        let profile = target.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
        let failure = |error| credentials_failure(error, profile.as_deref());
        provider.provide_credentials().await.map_err(failure)?;
    }
    Ok(config)
}

fn local_config(url: &str, target: &Target) -> SdkConfig {
    let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
    let region = target.region.as_deref().unwrap_or(crate::local::REGION).to_owned();
    let credentials = Credentials::new("advent-local", "advent-local", None, None, "local cloud");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(url)
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(target.timeout))
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .build()
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(attempt.min(Duration::from_secs(5)))
        .operation_attempt_timeout(attempt)
        .build()
}

fn credentials_failure(error: CredentialsError, profile: Option<&str>) -> Failure {
    const FILES: &str = "check the profile's name and its entries in ~/.aws/config and \
                         ~/.aws/credentials; an expired SSO session needs `aws sso login`";
    let (what, hint) = match (&error, profile) {
        (CredentialsError::ProviderTimedOut(_), _) => (
            "the AWS credentials could not be got in time".to_owned(),
            "check the network, or choose other credentials with --profile NAME",
        ),
        (_, Some(profile)) => {
            (format!("the AWS credentials of profile `{profile}` could not be loaded"), FILES)
        }
        (CredentialsError::CredentialsNotLoaded(_), None) => (
            "no AWS credentials were found".to_owned(),
            "sign in (`aws sso login`), say --profile NAME, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY; without an AWS account, try --local",
        ),
        _ => ("the AWS credentials could not be loaded".to_owned(), FILES),
    };
    Failure::refused(what).hint(hint).source(error)
}

/// Account and partition, from the caller's ARN.
async fn identity(config: &SdkConfig, endpoint: Option<&str>) -> Result<(String, String)> {
    let sts = aws_sdk_sts::Client::new(config);
    let identity = Call::new("sts:GetCallerIdentity", "the operator")
        .send(|| sts.get_caller_identity().send())
        .await
        .map_err(|error| match endpoint {
            Some(url) if error.unanswered => {
                let what = format!("the endpoint {url} does not answer");
                let hint = "check --endpoint-url and AWS_ENDPOINT_URL, and that something listens";
                anyhow::Error::new(Failure::new(what).hint(hint).source(error))
            }
            None if error.unanswered => {
                let what = "AWS could not be reached";
                let hint = "check the network, HTTPS_PROXY and --region";
                Failure::new(what).hint(hint).source(error).into()
            }
            _ => error.into(),
        })?;
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
    Ok((identity.account().unwrap_or_default().to_owned(), partition.to_owned()))
}
