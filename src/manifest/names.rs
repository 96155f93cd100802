//! What names may look like, and that no two things have the same.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Result, quoted};
use super::section::SpannedStr;

/// What a name of some kind may look like.
pub(crate) struct Rule {
    pub(super) kind: &'static str,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
    least: usize,
    most: usize,
    says: &'static str,
}

pub(super) const STACK: Rule = Rule {
    kind: "stack",
    first: |c| c.is_ascii_lowercase(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    least: 1,
    most: 31,
    says: "1 to 31 of a-z, 0-9 and -, and begins with a letter",
};

/// Becomes part of every name.
pub(super) const STAGE: Rule = Rule {
    kind: "stage",
    first: |c| c.is_ascii_lowercase(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    least: 1,
    most: 16,
    says: "1 to 16 of a-z, 0-9 and -, and begins with a letter",
};

/// `DynamoDB`, `CreateTable`.
pub(super) const TABLE: Rule = Rule {
    kind: "table",
    first: |c| word(c) || c == '-' || c == '.',
    rest: |c| word(c) || c == '-' || c == '.',
    least: 3,
    most: 255,
    says: "3 to 255 of A-Z, a-z, 0-9, ., _ and -",
};

/// SNS, `CreateTopic`; without `.fifo`, because a FIFO topic cannot trigger a function.
pub(super) const TOPIC: Rule = Rule {
    kind: "topic",
    first: |c| word(c) || c == '-',
    rest: |c| word(c) || c == '-',
    least: 1,
    most: 256,
    says: "1 to 256 of A-Z, a-z, 0-9, _ and -",
};

/// Lambda, `CreateFunction`.
pub(super) const FUNCTION: Rule = Rule {
    kind: "function",
    first: |c| word(c) || c == '-',
    rest: |c| word(c) || c == '-',
    least: 1,
    most: 64,
    says: "1 to 64 of A-Z, a-z, 0-9, _ and -",
};

/// IAM, `CreateRole`: 64, less the Region that is appended with a dash.
pub(super) const ROLE: Rule = Rule {
    kind: "role",
    first: |c| word(c) || "+=,.@-".contains(c),
    rest: |c| word(c) || "+=,.@-".contains(c),
    least: 1,
    most: 48,
    says: "1 to 48 of A-Z, a-z, 0-9 and _+=,.@- (IAM takes 64; the Region is appended)",
};

/// API Gateway, `CreateApi`.
pub(super) const HTTP_API: Rule = Rule {
    kind: "HTTP API",
    first: |c| !c.is_control(),
    rest: |c| !c.is_control(),
    least: 1,
    most: 128,
    says: "1 to 128 characters",
};

pub(super) const ID: Rule = Rule {
    kind: "id",
    first: |c| c.is_ascii_alphabetic(),
    rest: |c| word(c) || c == '-',
    least: 1,
    most: 255,
    says: "1 to 255 of A-Z, a-z, 0-9, _ and -, and begins with a letter",
};

/// Cargo's own rule.
pub(super) const PACKAGE: Rule = Rule {
    kind: "package",
    first: |c| c.is_alphabetic() || c == '_',
    rest: |c| c.is_alphanumeric() || c == '_' || c == '-',
    least: 1,
    most: 64,
    says: "1 to 64 letters, digits, _ and -, and begins with a letter",
};

/// Cargo's rule of targets, which are files.
pub(super) const BINARY: Rule = Rule {
    kind: "binary",
    first: |c| c.is_alphanumeric() || c == '_',
    rest: |c| c.is_alphanumeric() || c == '_' || c == '-',
    least: 1,
    most: 255,
    says: "1 to 255 letters, digits, _ and -, and begins with no -",
};

/// Cargo's rule, and `package/feature` for those of a dependency.
pub(super) const FEATURE: Rule = Rule {
    kind: "feature",
    first: |c| c.is_alphanumeric() || c == '_',
    rest: |c| c.is_alphanumeric() || "_-+./?".contains(c),
    least: 1,
    most: 255,
    says: "1 to 255 letters, digits, _, -, +, ., / and ?, and begins with a letter, a digit or _",
};

/// `DynamoDB`: the name of a partition key, which also suits a TTL attribute.
pub(super) const ATTRIBUTE: Rule = Rule {
    kind: "attribute",
    first: |c| !c.is_control(),
    rest: |c| !c.is_control(),
    least: 1,
    most: 255,
    says: "1 to 255 bytes of UTF-8",
};

fn word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

impl Rule {
    /// In words.
    pub(super) fn says(&self) -> &'static str {
        self.says
    }

    /// The lengths that it allows; what the characters may be is more than a schema has to know.
    pub(super) fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": self.least, "maxLength": self.most })
    }

    fn fits(&self, name: &str) -> bool {
        let mut characters = name.chars();
        // DynamoDB counts bytes.
        let bytes = self.kind == ATTRIBUTE.kind;
        let length = if bytes { name.len() } else { name.chars().count() };
        (self.least..=self.most).contains(&length)
            && characters.next().is_some_and(self.first)
            && characters.all(self.rest)
    }

    pub(super) fn check(&self, name: &SpannedStr<'_>) -> Result<()> {
        if self.fits(name.get_ref()) {
            return Ok(());
        }
        let noun = if self.kind == "id" { "id".to_owned() } else { format!("{} name", self.kind) };
        let article = if noun.starts_with(['a', 'i', 'H']) { "An" } else { "A" };
        let what = format!("{} is not a legal {noun}", quoted(name.get_ref()));
        Err(Diagnostic::new(name.span(), what).hint(format!("{article} {noun} is {}.", self.says)))
    }
}

/// Physical names so far, each with its place.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<(&'static str, String), Range<usize>>);

impl Taken {
    /// Takes `name` if it was given, else the default `{stack}-{id}`, for a thing of `rule`'s kind.
    pub(super) fn claim(
        &mut self,
        rule: &Rule,
        stack: &str,
        id: &SpannedStr<'_>,
        name: Option<&SpannedStr<'_>>,
    ) -> Result<()> {
        let kind = rule.kind;
        let key = if kind == "role" { "role" } else { "name" };
        let default = format!("{stack}-{}", id.get_ref());
        let (physical, at) = match name {
            Some(name) => {
                rule.check(name)?;
                (*name.get_ref(), name.span())
            }
            None if rule.fits(&default) => (default.as_str(), id.span()),
            None => {
                return Err(Diagnostic::new(
                    id.span(),
                    format!(
                        "the {kind} name {}, made of stack and id, is not legal",
                        quoted(&default)
                    ),
                )
                .hint(format!("Give one with `{key} = \"…\"`. It is {}.", rule.says)));
            }
        };
        // IAM tells roles apart without regard to case.
        let unique = if kind == "role" { physical.to_lowercase() } else { physical.to_owned() };
        let Some(first) = self.0.insert((kind, unique), at.clone()) else { return Ok(()) };
        let (label, why) = match name {
            Some(_) => (String::from("the second"), ""),
            None => (
                format!("named so because it has no `{key}`"),
                " Without one, it is the stack's name, a dash and the id.",
            ),
        };
        Err(Diagnostic::new(at, format!("two {kind}s are named {}", quoted(physical)))
            .label(label)
            .related(first, "the first is here")
            .hint(format!("Give one of them another `{key}`.{why}")))
    }
}
