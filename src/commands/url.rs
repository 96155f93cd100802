//! The address that a stack answers at.

use anyhow::Result;

use super::session::Session;
use crate::engine::{Found, Purpose, Resource as _, Stack};
use crate::failure::Failure;
use crate::manifest::Manifest;
use crate::resources::http_api::HttpApi;

/// The path of the route that a chat service would post to: the one asked for, else the first
/// that takes a POST.
pub fn path<'a>(manifest: &'a Manifest, wanted: Option<&'a str>) -> Option<&'a str> {
    let posted = |key: &'a String| match key.split_once(' ') {
        Some(("ANY" | "POST", path)) => Some(path),
        Some(_) => None,
        None => Some("/"),
    };
    wanted.or_else(|| manifest.functions.values().flat_map(|f| &f.routes).find_map(posted))
}

/// The address of the route that a chat service would post to.
pub fn of(manifest: &Manifest, endpoint: &str) -> Option<String> {
    path(manifest, None).map(|path| format!("{endpoint}{path}"))
}

/// The address of the deployed API, without a path.
///
/// # Errors
/// A refusal if the application has none or it is not deployed.
pub async fn endpoint(session: &Session<'_>) -> Result<String> {
    let names = &session.cloud.names;
    if session.app.manifest.http_api.is_none() {
        let what = format!("the stack {} has no route, and so no URL", names.stack);
        return Err(Failure::refused(what).into());
    }
    let cx = Stack::context(&session.cloud, Purpose::Delete);
    match Box::pin(HttpApi::named(names).read(&cx)).await? {
        Found::Ours(api) => Ok(api.endpoint),
        Found::Missing | Found::Foreign(_) => {
            let what = format!("the stack {}, stage {}, is not up", names.stack, names.stage);
            Err(Failure::new(what).hint("bring it up first: `advent up`").into())
        }
    }
}
