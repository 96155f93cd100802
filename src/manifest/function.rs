//! Parsing and checking one `[function.ID]`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Result, quoted};
use super::keys::{self, Takes};
use super::names::{FEATURE, FUNCTION, ROLE};
use super::parse::Checker;
use super::section::{Item, Section, SpannedStr, kind, whole};
use super::statement;
use super::{Function, Grant, Right, Value, account, route};
use crate::slack;

/// What Lambda sets itself, and so refuses (Developer Guide, "Defined runtime environment
/// variables").
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// Bytes that keys and values of one function's environment may have together.
const ENVIRONMENT_MAX: usize = 4096;

impl<'a> Checker<'a> {
    pub(super) fn function(&mut self, id: &SpannedStr<'a>, item: &'a Item<'a>) -> Result<Function> {
        let title = format!("[function.{}]", id.get_ref());
        let section = Section::declared(&keys::FUNCTION, title, id.span(), item)?;

        let name = section.string("name")?;
        self.taken.claim(&FUNCTION, self.stack, id, name.as_ref())?;
        let role = section.string("role")?;
        let role_arn = account::role(&section)?;
        if role_arn.is_none() {
            self.taken.claim(&ROLE, self.stack, id, role.as_ref())?;
        }
        let package = section.text("package")?;
        let bin = section.text("bin")?;
        let features = features(&section)?;
        let default_features = section.flag("default-features")?;
        let memory = section.whole("memory")?;
        let timeout = section.whole("timeout")?;

        let topics = self.topics(&section)?;
        let mut environment = Environment::default();
        let grants = self.grants(&section, &topics, &mut environment)?;
        self.environment(&section, &mut environment)?;
        let caller = caller(id, &section, &mut environment)?;
        environment.check_size()?;

        Ok(Function {
            name: owned(name),
            package: owned(package),
            bin: owned(bin),
            features,
            default_features,
            role: owned(role),
            role_arn,
            memory,
            timeout,
            environment: environment.values(),
            grants,
            statements: statement::parse(&section, &self.ids)?,
            routes: self.routes(&section)?,
            caller,
            topics: topics.into_iter().map(|topic| topic.into_inner().to_owned()).collect(),
            written: section.entries().iter().map(|(key, _)| key.get_ref().to_string()).collect(),
        })
    }

    fn routes(&mut self, section: &Section<'a>) -> Result<Vec<String>> {
        let mut routes = Vec::new();
        for written in section.strings("route")? {
            let matches = route::check(&written)?;
            if let Some((first, other)) =
                self.routes.insert(matches, (written.span(), *written.get_ref()))
            {
                let what = if other == *written.get_ref() {
                    format!("the route {} is there twice", quoted(other))
                } else {
                    format!(
                        "the routes {} and {} match the same requests",
                        quoted(other),
                        quoted(written.get_ref())
                    )
                };
                return Err(Diagnostic::new(written.span(), what)
                    .label("the second")
                    .related(first, "the first is here")
                    .hint(
                        "A request goes to one function only. To have several work on it, \
                         publish to a topic that triggers them.",
                    ));
            }
            routes.push(written.into_inner().to_owned());
        }
        Ok(routes)
    }

    fn topics(&self, section: &Section<'a>) -> Result<Vec<SpannedStr<'a>>> {
        let mut topics: Vec<SpannedStr<'a>> = Vec::new();
        for topic in section.strings("topic")? {
            self.ids.check("topic", topic.get_ref(), topic.span())?;
            if let Some(first) = topics.iter().find(|first| first.get_ref() == topic.get_ref()) {
                let what = format!(
                    "the topic {} triggers {} twice",
                    quoted(topic.get_ref()),
                    section.title
                );
                return Err(Diagnostic::new(topic.span(), what)
                    .label("the second")
                    .related(first.span(), "the first is here")
                    .hint("Leave one of them out."));
            }
            topics.push(topic);
        }
        Ok(topics)
    }

    fn grants(
        &self,
        section: &Section<'a>,
        triggers: &[SpannedStr<'a>],
        environment: &mut Environment,
    ) -> Result<Vec<Grant>> {
        let mut grants = Vec::new();
        for (key, item) in section.entries() {
            let key = key.get_ref().as_ref();
            let declared = section.key(key).map(|key| &key.takes);
            let (Some(Takes::Grant(kind)), Some(right)) = (declared, right(key)) else { continue };
            let DeValue::Table(_) = item.get_ref() else {
                let wanted = format!("a table of variables and {kind}s");
                return Err(section.wrong_type(key, &wanted, item.get_ref(), item.span()).hint(
                    format!(
                        "Write `{key} = {{ VARIABLE = \"{kind} ID\" }}`: the variable tells the \
                         function which {kind} it is."
                    ),
                ));
            };
            let title = format!("`{key}` in {}", section.title);
            let targets = Section::new(title, item.span(), item, "")?;
            for (variable, _) in targets.entries() {
                let Some(target) = targets.string(variable.get_ref())? else { continue };
                let id = *target.get_ref();
                self.ids.check(kind, id, target.span())?;
                let trigger = triggers.iter().find(|trigger| *trigger.get_ref() == id);
                if let (Right::Publish, Some(trigger)) = (right, trigger) {
                    let what = format!("{} would trigger itself without end", section.title);
                    return Err(Diagnostic::new(target.span(), what)
                        .label("it publishes to this topic")
                        .related(trigger.span(), "which triggers it")
                        .hint("Publish to another topic."));
                }
                let value = match right {
                    Right::Publish => Value::TopicArn(id.to_owned()),
                    _ => Value::TableName(id.to_owned()),
                };
                environment
                    .set(&Spanned::new(variable.span(), variable.get_ref().as_ref()), value)?;
                let grant = Grant { right, target: id.to_owned() };
                if !grants.contains(&grant) {
                    grants.push(grant);
                }
            }
        }
        grants.sort_by(|one, other| (one.right, &one.target).cmp(&(other.right, &other.target)));
        Ok(grants)
    }

    fn environment(&self, section: &Section<'a>, environment: &mut Environment) -> Result<()> {
        let Some((_, item)) = section.get("environment") else { return Ok(()) };
        let title = format!("`environment` in {}", section.title);
        let variables =
            Section::new(title, item.span(), item, "environment = { VARIABLE = \"value\" }")?;
        for (variable, item) in variables.entries() {
            let value = self.value(&variables, variable.get_ref(), item)?;
            environment.set(&Spanned::new(variable.span(), variable.get_ref().as_ref()), value)?;
        }
        Ok(())
    }

    fn value(&self, variables: &Section<'a>, key: &str, item: &'a Item<'a>) -> Result<Value> {
        match item.get_ref() {
            DeValue::String(text) if text.contains('\0') => Err(Diagnostic::new(
                item.span(),
                format!("{} has a NUL character in it", quoted(key)),
            )
            .hint("No environment variable can hold one. Leave it out.")),
            DeValue::String(text) => self.ids.value(&Spanned::new(item.span(), text.as_ref())),
            DeValue::Boolean(value) => Ok(Value::Literal(value.to_string())),
            DeValue::Integer(number) => match whole(number) {
                Some(number) => Ok(Value::Literal(number.to_string())),
                None => Err(Diagnostic::new(
                    item.span(),
                    format!("{} is too large a number", quoted(key)),
                )
                .hint("Put it in quotes.")),
            },
            DeValue::Table(_) => secret(variables, key, item),
            other => {
                let what = format!(
                    "{} in {} must be a string, a whole number, a boolean or a secret, not {}",
                    quoted(key),
                    variables.title,
                    kind(other)
                );
                Err(Diagnostic::new(item.span(), what).hint("Put it in quotes."))
            }
        }
    }
}

/// Who calls the routes, if that is declared. Its secrets become the function's variables.
fn caller<'a>(
    id: &SpannedStr<'a>,
    section: &Section<'a>,
    environment: &mut Environment,
) -> Result<Option<slack::Caller>> {
    let Some((key, item)) = section.get(slack::SECTION) else { return Ok(None) };
    let title = format!("[function.{}.{}]", id.get_ref(), slack::SECTION);
    let declared = Section::declared(&keys::SLACK, title, key.span(), item)?;
    if section.get("route").is_none() {
        let what = format!("{} declares who calls a route, but there is none", declared.title);
        return Err(Diagnostic::new(key.span(), what)
            .hint("Give the function a route, as `route = \"POST /hello\"`, or leave this out."));
    }
    let mut names = BTreeMap::new();
    for (key, variable) in slack::SECRETS {
        if let Some(name) = declared.string(key)? {
            check_secret(key, &name)?;
            let name = *name.get_ref();
            let at = declared.get(key).map_or(declared.at.clone(), |(key, _)| key.span());
            environment.set(&Spanned::new(at, variable), Value::Secret(name.to_owned()))?;
            names.insert(key, name.to_owned());
        }
    }
    Ok(Some(slack::Caller::new(|(key, _)| names.get(key).cloned())))
}

/// Each once and in order, so that writing them otherwise builds nothing else.
fn features(section: &Section<'_>) -> Result<Vec<String>> {
    let mut features = BTreeSet::new();
    for feature in section.strings("features")? {
        FEATURE.check(&feature)?;
        features.insert(feature.into_inner().to_owned());
    }
    Ok(features.into_iter().collect())
}

fn secret<'a>(variables: &Section<'a>, key: &str, item: &'a Item<'a>) -> Result<Value> {
    let title = format!("{} in {}", quoted(key), variables.title);
    let secret = Section::declared(&keys::SECRET, title, item.span(), item)?;
    let name = secret.required("secret")?;
    check_secret("secret", &name)?;
    Ok(Value::Secret(name.into_inner().to_owned()))
}

/// Refuses what is no name of a variable of the operator's environment.
fn check_secret(key: &str, name: &SpannedStr<'_>) -> Result<()> {
    let legal = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !legal(name.get_ref()) {
        // Not quoted in the message: it may be the secret itself.
        return Err(Diagnostic::new(
            name.span(),
            format!("`{key}` does not hold the name of a variable"),
        )
        .secret()
        .hint(
            "It takes the name of the variable of your own environment that holds the value, \
                 as `API_TOKEN`, and not the value.",
        ));
    }
    Ok(())
}

/// Environment variables so far, each with its place.
#[derive(Default)]
struct Environment(BTreeMap<String, (Value, Range<usize>)>);

impl Environment {
    fn set(&mut self, variable: &SpannedStr<'_>, value: Value) -> Result<()> {
        check_variable(variable)?;
        match self.0.entry((*variable.get_ref()).to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert((value, variable.span()));
            }
            Entry::Occupied(entry) if entry.get().0 == value => {}
            Entry::Occupied(entry) => {
                let what =
                    format!("{} is set twice, to different values", quoted(variable.get_ref()));
                return Err(Diagnostic::new(variable.span(), what)
                    .label("the second")
                    .related(entry.get().1.clone(), "the first is here")
                    .hint("Rename one of them: a variable holds one value."));
            }
        }
        Ok(())
    }

    /// What is known of the size before names and secrets are.
    fn check_size(&self) -> Result<()> {
        let mut size = 0;
        for (variable, (value, at)) in &self.0 {
            size += variable.len() + if let Value::Literal(text) = value { text.len() } else { 0 };
            if size > ENVIRONMENT_MAX {
                return Err(Diagnostic::new(at.clone(), "the environment is too large").hint(
                    "Lambda takes 4 KB, all keys and values of a function together. Put what is \
                         large into the function's code or a table.",
                ));
            }
        }
        Ok(())
    }

    fn values(self) -> BTreeMap<String, Value> {
        self.0.into_iter().map(|(variable, (value, _))| (variable, value)).collect()
    }
}

fn check_variable(variable: &SpannedStr<'_>) -> Result<()> {
    let name = *variable.get_ref();
    if RESERVED.contains(&name) {
        let what = format!("the variable {} is reserved", quoted(name));
        return Err(Diagnostic::new(variable.span(), what)
            .hint("Lambda sets it itself. Choose another name."));
    }
    let legal = name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if legal {
        return Ok(());
    }
    let what = format!("{} is not a legal variable name", quoted(name));
    Err(Diagnostic::new(variable.span(), what)
        .hint("Lambda takes two or more of A-Z, a-z, 0-9 and _, beginning with a letter."))
}

fn right(key: &str) -> Option<Right> {
    Some(match key {
        "read" => Right::Read,
        "put" => Right::Put,
        "update" => Right::Update,
        "delete" => Right::Delete,
        "publish" => Right::Publish,
        _ => return None,
    })
}

pub(super) fn owned(word: Option<SpannedStr<'_>>) -> Option<String> {
    word.map(|word| word.into_inner().to_owned())
}
