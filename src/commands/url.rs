//! The addresses that a stack answers at.

use anyhow::Result;
use serde_json::{Value, json};

use super::session::Session;
use crate::engine::{Identity as _, Stack};
use crate::failure::Failure;
use crate::invocation::shell_word;
use crate::manifest::{Function, Manifest};
use crate::resources::http_api::HttpApiId;

/// A route of a function.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Id of the function.
    pub id: &'a str,
    pub function: &'a Function,
    /// As the manifest has it.
    pub key: &'a str,
    /// `ANY` takes all, and is the method of `$default`.
    pub method: &'a str,
    pub path: &'a str,
}

impl Route<'_> {
    pub fn url(&self, endpoint: &str) -> String {
        format!("{endpoint}{}", self.path)
    }

    pub fn takes_post(&self) -> bool {
        ["ANY", "POST"].contains(&self.method)
    }

    /// Whether requests to this path may come to it.
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = path.split('?').next().unwrap_or_default().split('/');
        if self.key == DEFAULT {
            return path.starts_with('/');
        }
        for wanted in self.path.split('/') {
            let part = parts.next();
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(greedy) if greedy.ends_with('+') => {
                    return part.is_some_and(|part| !part.is_empty());
                }
                Some(_) if part.is_some_and(|part| !part.is_empty()) => {}
                None if part == Some(wanted) => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }

    /// A request to it, to be typed.
    pub fn curl(&self, endpoint: &str) -> String {
        let path: String = self.path.replace(['{', '}', '+'], "");
        let method = match self.method {
            "ANY" | "GET" => String::new(),
            "HEAD" => " --head".to_owned(),
            "POST" => " --data '{}'".to_owned(),
            method => format!(" --request {method}"),
        };
        format!("curl --include{method} {}", shell_word(&format!("{endpoint}{path}")))
    }
}

/// The route of all that no other takes.
const DEFAULT: &str = "$default";

/// All routes, those of a function with a declared caller first.
pub fn routes(manifest: &Manifest) -> Vec<Route<'_>> {
    let mut routes: Vec<Route<'_>> = manifest
        .functions
        .iter()
        .flat_map(|(id, function)| {
            function.routes.iter().map(move |key| {
                let (method, path) = key.split_once(' ').unwrap_or(("ANY", "/"));
                Route { id, function, key, method, path }
            })
        })
        .collect();
    routes.sort_by_key(|route| (route.function.caller.is_none(), !route.takes_post()));
    routes
}

/// The address that comes first.
pub fn of(manifest: &Manifest, endpoint: &str) -> Option<String> {
    routes(manifest).first().map(|route| route.url(endpoint))
}

pub fn documents(manifest: &Manifest, endpoint: &str) -> Value {
    let document = |route: &Route<'_>| json!({ "function": route.id, "method": route.method, "url": route.url(endpoint) });
    routes(manifest).iter().map(document).collect()
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
    let cx = Stack::context(&session.cloud);
    let api = HttpApiId { name: names.api(None), names: names.clone() };
    if let Some(api) = Box::pin(api.find(&cx)).await?.ours() {
        return Ok(api.endpoint);
    }
    let what = format!("the stack {} is not up in {}", names.stack, session.place());
    Err(Failure::new(what).hint("bring it up first: `advent up`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"name = "app"
[function.a]
route = ["GET /a", "DELETE /items/{id}/parts", "GET /files/{path+}"]
[function.b]
route = ["GET /b", "POST /b"]
slack = {}
[function.c]
route = "$default"
"#;

    #[test]
    fn a_declared_callers_route_comes_first() {
        let manifest = Manifest::parse(MANIFEST, "advent.toml").unwrap();
        let paths: Vec<_> =
            routes(&manifest).iter().map(|route| (route.method, route.path)).collect();
        assert_eq!(&paths[..3], [("POST", "/b"), ("GET", "/b"), ("ANY", "/")]);
        assert_eq!(of(&manifest, "https://x").unwrap(), "https://x/b");
    }

    #[test]
    fn paths_find_their_routes() {
        let manifest = Manifest::parse(MANIFEST, "advent.toml").unwrap();
        let routes = routes(&manifest);
        let matching = |path: &str| {
            let found = routes.iter().filter(|route| route.matches(path) && route.id == "a");
            found.map(|route| route.path).collect::<Vec<_>>()
        };
        assert_eq!(matching("/a"), ["/a"]);
        assert_eq!(matching("/a?x=/b"), ["/a"]);
        assert_eq!(matching("/items/7/parts"), ["/items/{id}/parts"]);
        assert_eq!(matching("/files/x/y"), ["/files/{path+}"]);
        for path in ["", "a", "/a/", "/a/b", "/items//parts", "/items/7", "/files/"] {
            assert_eq!(matching(path), [""; 0], "{path}");
        }
        let default = routes.iter().find(|route| route.id == "c").unwrap();
        assert!(default.matches("/whatever/else") && !default.matches("else"));
    }

    #[test]
    fn a_request_can_be_typed() {
        let manifest = Manifest::parse(MANIFEST, "advent.toml").unwrap();
        let curl = |method: &str| {
            let routes = routes(&manifest);
            routes.iter().find(|route| route.method == method).unwrap().curl("http://x")
        };
        assert_eq!(curl("POST"), "curl --include --data '{}' http://x/b");
        assert_eq!(curl("DELETE"), "curl --include --request DELETE http://x/items/id/parts");
        assert_eq!(curl("ANY"), "curl --include http://x/");
    }
}
