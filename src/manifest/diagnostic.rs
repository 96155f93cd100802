//! A mistake in a manifest: where it is, what would be right, and how that is shown.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::failure::Failure;

pub(super) type Result<T, E = Diagnostic> = std::result::Result<T, E>;

#[derive(Debug)]
pub(super) struct Diagnostic(Box<Parts>);

#[derive(Debug)]
struct Parts {
    what: String,
    at: Range<usize>,
    label: Option<String>,
    related: Option<(Range<usize>, String)>,
    hint: Option<String>,
    secret: bool,
}

impl Diagnostic {
    /// `at` counts bytes of the manifest's text.
    pub(super) fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        let what = what.into();
        Self(Box::new(Parts { what, at, label: None, related: None, hint: None, secret: false }))
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// Another place that has to do with it.
    pub(super) fn related(mut self, at: Range<usize>, label: impl Into<String>) -> Self {
        self.0.related = Some((at, label.into()));
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What stands there may be a secret: it is not shown.
    pub(super) fn secret(mut self) -> Self {
        self.0.secret = true;
        self
    }

    pub(super) fn into_failure(self, text: &str, path: &str) -> Failure {
        let Parts { what, at, label, related, hint, secret } = *self.0;
        // A byte order mark would count as a column.
        let mark = text.len() - text.trim_start_matches('\u{feff}').len();
        let text = &text[mark..];
        let place = |at: Range<usize>| {
            let start = text.floor_char_boundary(at.start.saturating_sub(mark));
            let end = text.ceil_char_boundary(at.end.saturating_sub(mark));
            start..end.max(start)
        };
        let at = place(at);
        let mut text = Cow::Borrowed(text);
        let related = related.map(|(at, label)| (place(at), label));
        if secret {
            text.to_mut().replace_range(at.clone(), &"*".repeat(at.len()));
        }
        let mut snippet = Snippet::source(text.as_ref())
            .path(path)
            .annotation(AnnotationKind::Primary.span(at).label(label));
        if let Some((at, label)) = related {
            snippet = snippet.annotation(AnnotationKind::Context.span(at).label(label));
        }
        let report = [Level::ERROR.no_name().primary_title(what).element(snippet)];
        let rendered = Renderer::plain().render(&report);
        let failure = Failure::refused(rendered.trim_end());
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What the author wrote, fit to stand in a message: in backquotes, without control characters,
/// not endless.
pub(super) fn quoted(text: &str) -> String {
    const MAX: usize = 80;
    if text.is_empty() {
        return String::from("`\"\"`");
    }
    let mut quoted = String::from("`");
    for character in text.chars().take(MAX) {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if text.chars().nth(MAX).is_some() {
        quoted.push('…');
    }
    quoted.push('`');
    quoted
}

/// `` `a`, `b` and `c` ``
pub(super) fn listed<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quoted(word.as_ref())).collect();
    match words.split_last() {
        None => String::from("nothing"),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// ``Did you mean `word`? `` if one of `candidates` resembles `written`, else nothing.
pub(super) fn did_you_mean<S: AsRef<str>>(
    written: &str,
    candidates: impl IntoIterator<Item = S>,
) -> String {
    let mut answer = String::new();
    if let Some(word) = nearest(written, candidates) {
        let _ = write!(answer, "Did you mean {}? ", quoted(word.as_ref()));
    }
    answer
}

fn nearest<S: AsRef<str>>(written: &str, candidates: impl IntoIterator<Item = S>) -> Option<S> {
    // The comparison takes quadratic time; no id or key is longer.
    const LONGEST: usize = 255;
    if written.len() > LONGEST {
        return None;
    }
    let written = written.to_lowercase();
    let likeness = |word: &str| {
        let word = word.to_lowercase();
        // Two letters swapped in a short word: the one measure hardly sees the likeness.
        let slip = word.len() > 2 && strsim::damerau_levenshtein(&written, &word) == 1;
        strsim::jaro_winkler(&written, &word).max(if slip { 0.9 } else { 0.0 })
    };
    candidates
        .into_iter()
        .map(|word| (likeness(word.as_ref()), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, word)| word)
}
