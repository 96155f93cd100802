//! Reading a function: what Lambda says of it, and what it leaves out.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::primitives::{DateTime, DateTimeFormat};
use aws_sdk_lambda::types::{Architecture, FunctionConfiguration, Runtime};

use serde_json::Value;

use super::super::permission;
use super::super::watch::optional;
use super::{LOOKS, State};
use crate::aws::cache::Cache;
use crate::aws::naming::{Lacking, Tags};
use crate::aws::raw::Raw;
use crate::aws::{ApiError, Call, Context, Names, Pages, told};
use crate::engine::Notices;
use crate::ownership::{self, Foreign, Ours};

/// What Lambda says of a function.
#[derive(Debug)]
pub struct Lookup {
    pub output: GetFunctionOutput,
    /// The same as it came, without the variables.
    raw: Value,
}

pub(super) async fn get(
    cx: &Context<'_>,
    name: &str,
) -> Result<Option<GetFunctionOutput>, ApiError> {
    get_raw(cx, name, &Raw::default()).await
}

async fn get_raw(
    cx: &Context<'_>,
    name: &str,
    raw: &Raw,
) -> Result<Option<GetFunctionOutput>, ApiError> {
    let request = || {
        let request = cx.cloud.lambda.get_function().function_name(name);
        request.customize().interceptor(raw.clone()).send()
    };
    let answer = Call::new("lambda:GetFunction", name).wait(cx, &[]).send(request).await;
    match answer {
        Ok(answer) => {
            let asked = ("lambda:GetFunction", name);
            told(answer.configuration.as_ref(), "Configuration", asked)?;
            Ok(Some(answer))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// By function name.
#[derive(Default)]
struct Lookups(Cache<Option<Arc<Lookup>>>);

/// What Lambda says of a function, asked for once a run: with its tags, or not at all.
pub async fn lookup(cx: &Context<'_>, name: &str) -> Result<Option<Arc<Lookup>>, ApiError> {
    let ask = || async {
        let kept = Raw::default();
        let Some(mut found) = get_raw(cx, name, &kept).await? else { return Ok(None) };
        let mut raw = kept.take();
        // Nobody has to keep secrets that nobody has.
        raw["Configuration"]["Environment"] = Value::Null;
        if found.tags().is_none_or(HashMap::is_empty) {
            found.tags = tags(cx, name, &found).await?;
        }
        Ok(Some(Arc::new(Lookup { output: found, raw })))
    };
    cx.cloud.answers.of::<Lookups>().0.get(cx, name, ask).await
}

/// The tags of a function that seems to have none. `GetFunction` leaves them out for who may not
/// list them, not always saying so.
async fn tags(
    cx: &Context<'_>,
    name: &str,
    found: &GetFunctionOutput,
) -> Result<Option<HashMap<String, String>>, ApiError> {
    let arn = cx.cloud.names.function_arn(name);
    if let Some(error) = found.tags_error() {
        let (code, message) = (error.error_code(), error.message());
        return Err(ApiError::within("lambda:ListTags", &arn, code, message));
    }
    let answer = Call::new("lambda:ListTags", &arn)
        .wait(cx, &[])
        .send(|| cx.cloud.lambda.list_tags().resource(&arn).send())
        .await;
    match answer {
        Ok(answer) => told(answer.tags, "Tags", ("lambda:ListTags", &arn)).map(Some),
        // Deleted since.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose a function is.
pub fn judge(names: &Names, found: &Lookup) -> Result<Ours, Foreign> {
    ownership::judge(names, &tags_in(&found.output))
}

/// What somebody has set that advent.toml does not speak of: in its configuration, as an address of
/// its own, and in its resource policy.
pub(super) async fn notices(
    cx: &Context<'_>,
    name: &str,
    found: &Lookup,
) -> Result<Notices, ApiError> {
    let mut notices = Notices::default();
    notices.watched = LOOKS[0].notices("", &found.raw, name);
    let asked = ("lambda:ListFunctionUrlConfigs", name);
    let urls = Pages::of(asked.0, asked.1).all(|marker| async move {
        let list = cx.cloud.lambda.list_function_url_configs();
        let list = list.function_name(name).set_marker(marker);
        let raw = Raw::default();
        let request = || list.clone().customize().interceptor(raw.clone()).send();
        let page = Call::new(asked.0, asked.1).send(request).await?;
        let listed = raw.take()["FunctionUrlConfigs"].as_array().cloned();
        Ok((told(listed, "FunctionUrlConfigs", asked)?, page.next_marker))
    });
    let (urls, policy) = tokio::join!(urls, permission::policy(cx, name));
    for url in optional("function URLs", urls, &mut notices.unread)?.into_iter().flatten() {
        notices.watched.extend(LOOKS[1].notices("function URL: ", &url, name));
    }
    notices.watched.extend(policy?.iter().filter_map(permission::Statement::notice));
    Ok(notices)
}

/// The tags that came with the answer.
pub(super) fn tags_in(found: &GetFunctionOutput) -> Tags {
    found.tags().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

impl From<&FunctionConfiguration> for State {
    fn from(found: &FunctionConfiguration) -> Self {
        let environment = found.environment();
        let variables = environment.and_then(|environment| environment.variables());
        let unreadable = environment.and_then(|environment| environment.error()).map(|error| {
            let key = found.kms_key_arn().unwrap_or("the key of its environment");
            let code = error.error_code().unwrap_or("AccessDenied");
            ApiError::within("kms:Decrypt", key, code, error.message().unwrap_or_default())
        });
        let modified = found.last_modified().and_then(|text| {
            // Lambda writes the zone as +0000, which RFC 3339 does not know.
            DateTime::from_str(&text.replace("+0000", "Z"), DateTimeFormat::DateTime).ok()
        });
        Self {
            role_arn: found.role().unwrap_or_default().to_owned(),
            memory: found.memory_size().unwrap_or_default(),
            timeout: found.timeout().unwrap_or_default(),
            environment: match unreadable {
                Some(error) => Err(error),
                None => Ok(variables.cloned().unwrap_or_default().into_iter().collect()),
            },
            architecture: found
                .architectures()
                .first()
                .map_or("x86_64", Architecture::as_str)
                .to_owned(),
            runtime: found.runtime().map_or("", Runtime::as_str).to_owned(),
            handler: found.handler().unwrap_or_default().to_owned(),
            sha256: found.code_sha256().unwrap_or_default().to_owned(),
            modified,
            notices: Notices::default(),
            lacking: Lacking::default(),
        }
    }
}
