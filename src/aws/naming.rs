//! Physical names, ARNs and ownership tags: all known before anything exists.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::engine::Changes;

/// The stage that adds nothing to names.
pub const DEFAULT_STAGE: &str = "default";

/// Longest name of a role or a function (IAM and Lambda quotas).
const LONGEST: usize = 64;

/// What marks the name of a function's other role.
pub const OTHER_ROLE: &str = "+other";

pub const STACK_TAG: &str = "advent:stack";
pub const STAGE_TAG: &str = "advent:stage";

/// Where one stage of one stack lives, and what everything in it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub stack: String,
    pub stage: String,
    pub region: String,
    pub account: String,
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// Tags of the author's own, on everything that takes tags.
    pub own_tags: Tags,
}

pub type Tags = BTreeMap<String, String>;

/// Stands in ARNs of the manifest for the account that is deployed to.
pub const ACCOUNT_REFERENCE: &str = "${account}";

/// Of the author's own tags those that a thing lacks or has otherwise: what it has instead, and
/// what it should have. Tags that the author does not name are nobody's business here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking(BTreeMap<String, (Option<String>, String)>);

impl Lacking {
    /// How the field of such a change begins.
    pub const FIELD: &str = "tag ";

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn compare(&self, changes: &mut Changes) {
        for (key, (is, should)) in &self.0 {
            let is = is.as_deref().unwrap_or("none");
            changes.push(&format!("{}{key}", Self::FIELD), is, should.as_str());
        }
    }

    /// Keys and values to tag it with.
    pub fn tags(&self) -> Tags {
        self.0.iter().map(|(key, (_, should))| (key.clone(), should.clone())).collect()
    }
}

impl Names {
    /// The name of a table or topic: as given or `{stack}-{id}`, the stage behind.
    pub fn physical(&self, given: Option<&str>, id: &str) -> String {
        format!("{}{}", self.base(given, id), self.stage_suffix())
    }

    /// The name of a function, made like [`physical`](Self::physical).
    pub fn function(&self, given: Option<&str>, id: &str) -> String {
        shorten(self.physical(given, id))
    }

    /// The name of an API: as given or the stack's.
    pub fn api(&self, given: Option<&str>) -> String {
        format!("{}{}", given.unwrap_or(&self.stack), self.stage_suffix())
    }

    /// The name of a role. IAM is global, so the Region is in it: two Regions would otherwise
    /// share and destroy each other's roles.
    pub fn role(&self, given: Option<&str>, id: &str) -> String {
        shorten(format!("{}-{}", self.physical(given, id), self.region))
    }

    /// The name of the empty role that a function gets for a moment when its own was made again. No
    /// id has a plus sign, so it is no other function's role.
    pub fn other_role(&self, function: &str) -> String {
        self.role(None, &format!("{function}{OTHER_ROLE}"))
    }

    /// A name before stage and Region: as given or `{stack}-{id}`.
    pub fn base(&self, given: Option<&str>, id: &str) -> String {
        given.map_or_else(|| format!("{}-{id}", self.stack), str::to_owned)
    }

    /// The IAM path under which this stage's roles of this Region are found again.
    pub fn role_path(&self) -> String {
        format!("/advent/{}/{}/{}/", self.stack, self.stage, self.region)
    }

    pub fn log_group(function: &str) -> String {
        format!("/aws/lambda/{function}")
    }

    fn stage_suffix(&self) -> String {
        if self.stage == DEFAULT_STAGE { String::new() } else { format!("-{}", self.stage) }
    }

    pub fn table_arn(&self, name: &str) -> String {
        self.arn("dynamodb", &format!("table/{name}"))
    }

    pub fn topic_arn(&self, name: &str) -> String {
        self.arn("sns", name)
    }

    pub fn function_arn(&self, name: &str) -> String {
        self.arn("lambda", &format!("function:{name}"))
    }

    /// Without the `:*` that some Logs answers carry.
    pub fn log_group_arn(&self, name: &str) -> String {
        self.arn("logs", &format!("log-group:{name}"))
    }

    pub fn role_arn(&self, name: &str) -> String {
        let Self { partition, account, .. } = self;
        format!("arn:{partition}:iam::{account}:role{}{name}", self.role_path())
    }

    pub fn api_arn(&self, id: &str) -> String {
        format!("arn:{}:apigateway:{}::/apis/{id}", self.partition, self.region)
    }

    /// The source that API Gateway names when it calls a function for a route, in any stage.
    /// `route` is what [`route_source`] makes of the route's key.
    pub fn route_arn(&self, api: &str, route: &str) -> String {
        self.arn("execute-api", &format!("{api}/*/{route}"))
    }

    /// Every source of an API.
    pub fn routes_arn(&self, api: &str) -> String {
        self.arn("execute-api", &format!("{api}/*"))
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// The tags that make a thing this stage's.
    pub fn tags(&self) -> Tags {
        let tags = [(STACK_TAG, &self.stack), (STAGE_TAG, &self.stage)];
        tags.map(|(key, value)| (key.to_owned(), value.clone())).into()
    }

    /// All that a new thing is tagged with: whose it is, and the author's own.
    pub fn all_tags(&self) -> Tags {
        let mut tags = self.own_tags.clone();
        tags.extend(self.tags());
        tags
    }

    /// What a thing with these tags lacks of the author's own.
    pub fn lacking(&self, tags: &Tags) -> Lacking {
        let wrong = self.own_tags.iter().filter(|(key, value)| tags.get(*key) != Some(value));
        Lacking(wrong.map(|(k, v)| (k.clone(), (tags.get(k).cloned(), v.clone()))).collect())
    }

    /// An ARN of the manifest's, which may leave the account open.
    pub fn in_account(&self, arn: &str) -> String {
        arn.replace(ACCOUNT_REFERENCE, &self.account)
    }
}

/// What stands behind the stage in the source of a route: `METHOD/path`, any method for `ANY`, any
/// text for a parameter. `$default` has neither method nor path.
pub fn route_source(key: &str) -> String {
    let Some((method, path)) = key.split_once(' ') else { return key.to_owned() };
    let method = if method == "ANY" { "*" } else { method };
    format!("{method}{}", without_parameters(path))
}

/// A route's key or path with `*` for each parameter.
pub fn without_parameters(route: &str) -> String {
    let any = |segment| if str::starts_with(segment, '{') { "*" } else { segment };
    route.split('/').map(any).collect::<Vec<_>>().join("/")
}

/// Cuts a name to what IAM and Lambda allow, keeping it unique by a hash of the whole.
fn shorten(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let kept: String = name.chars().take(LONGEST - 9).collect();
    format!("{kept}-{}", short_hash(&name))
}

/// Eight hexadecimal digits that are another for another text.
pub fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(4).fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte));
    format!("{first:08x}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn names(stage: &str) -> Names {
        Names {
            stack: "awsadvent".into(),
            stage: stage.into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
            own_tags: Tags::new(),
        }
    }

    #[test]
    fn names_carry_the_stage_and_roles_the_region() {
        assert_eq!(names("default").physical(Some("table"), "words"), "table");
        assert_eq!(names("dev").physical(Some("table"), "words"), "table-dev");
        assert_eq!(names("dev").physical(None, "words"), "awsadvent-words-dev");
        assert_eq!(names("default").role(None, "f"), "awsadvent-f-eu-central-1");
        assert_eq!(names("dev").api(None), "awsadvent-dev");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = (format!("{}a", "x".repeat(70)), format!("{}b", "x".repeat(70)));
        let (a, b) = (names("default").role(Some(&a), ""), names("default").role(Some(&b), ""));
        assert_eq!((a.len(), b.len()), (64, 64));
        assert_ne!(a, b);
    }

    #[test]
    fn of_the_authors_tags_what_is_missing_or_other_is_lacking() {
        let own_tags = [("team", "x"), ("cost", "1")].map(|(k, v)| (k.into(), v.into())).into();
        let names = Names { own_tags, ..names("default") };
        let mut tags = names.all_tags();
        assert_eq!(tags.len(), 4);
        tags.insert("foreign".into(), "kept".into());
        assert!(names.lacking(&tags).is_empty());
        tags.insert("team".into(), "y".into());
        tags.remove("cost");
        let mut changes = Changes::default();
        names.lacking(&tags).compare(&mut changes);
        let shown = changes.0.iter().map(|c| (c.field.as_str(), c.from.as_str(), c.to.as_str()));
        let shown: Vec<_> = shown.collect();
        assert_eq!(shown, [("tag cost", "none", "1"), ("tag team", "y", "x")]);
    }

    #[test]
    fn routes_become_sources() {
        let names = names("default");
        let arn = |key| {
            let arn = names.route_arn("a1", &route_source(key));
            arn.split(':').nth(5).map(str::to_owned)
        };
        assert_eq!(arn("ANY /aws_advent").as_deref(), Some("a1/*/*/aws_advent"));
        assert_eq!(arn("GET /").as_deref(), Some("a1/*/GET/"));
        assert_eq!(arn("GET /users/{id}/x").as_deref(), Some("a1/*/GET/users/*/x"));
        assert_eq!(arn("ANY /{proxy+}").as_deref(), Some("a1/*/*/*"));
        assert_eq!(arn("$default").as_deref(), Some("a1/*/$default"));
        assert_eq!(names.routes_arn("a1"), "arn:aws:execute-api:eu-central-1:123456789012:a1/*");
    }
}
