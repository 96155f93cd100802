//! The only code that prints: results to standard output, everything else to standard error.

mod errors;
mod lines;
mod list;
mod notices;
mod plan;
mod screen;
mod status;
mod style;
mod summary;
mod tame;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod work;

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Error;
use serde_json::{Value, json};

use crate::bundle::Progress;
use crate::engine::{Event, Outcome, Plan, Reporter};
use crate::invocation::Invocation;
pub use list::List;
use screen::Screen;
use work::{Phase, Work};

/// Pause between two pictures of what moves on a terminal.
const FRAME: Duration = Duration::from_millis(100);
/// Phases that took less are not worth a line on a terminal.
const BRIEF: Duration = Duration::from_millis(200);
/// Off a terminal, the longest silence about something that is under way.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The `version` of the documents of `--json`: another one where a member's name or meaning changes.
const VERSION: u32 = 1;

/// How to print.
#[derive(Debug, Clone)]
pub struct Options {
    /// One document on standard output, and neither plan nor progress as text.
    pub json: bool,
    /// Results, warnings and errors only.
    pub quiet: bool,
    /// Colours, where a stream is a terminal.
    pub color: bool,
}

impl Options {
    /// From the command line and the environment (`NO_COLOR`, see <https://no-color.org>).
    pub fn detect(json: bool, quiet: bool, no_color: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, quiet, color: !no_color && !unwanted }
    }
}

/// Tells the person at the terminal, or whoever reads its output, how a command goes.
pub struct Report {
    shared: Arc<Shared>,
    /// What keeps the live area and the heartbeats going; they end when it is dropped.
    ticker: Mutex<Option<Sender<()>>>,
}

/// Speaks for a [`Report`] from elsewhere, for as long as the process lives.
pub struct Voice(Arc<Shared>);

struct Shared {
    options: Options,
    screen: Screen,
    doing: Mutex<Doing>,
    heartbeat: Duration,
    document_written: AtomicBool,
}

/// What is under way.
#[derive(Default)]
struct Doing {
    phase: Option<Phase>,
    work: Option<Work>,
}

impl Report {
    pub fn new(options: Options) -> Self {
        let screen = Screen::standard(options.color);
        Self::with(options, screen, HEARTBEAT)
    }

    fn with(options: Options, screen: Screen, heartbeat: Duration) -> Self {
        let (doing, document_written) = (Mutex::default(), AtomicBool::new(false));
        Self {
            shared: Arc::new(Shared { options, screen, doing, heartbeat, document_written }),
            ticker: Mutex::default(),
        }
    }

    pub fn voice(&self) -> Voice {
        Voice(Arc::clone(&self.shared))
    }

    /// From now on every `` `advent COMMAND` `` that is printed is a command that means the same as
    /// this one: see [`Invocation::complete`].
    pub fn name_commands(&self, invocation: Invocation) {
        self.shared.screen.name_commands(invocation);
    }

    /// A phase before or after the work on the resources: "reading the cloud". It lasts until
    /// [`end`](Self::end) or the next one.
    pub fn begin(&self, what: &str) {
        let shared = &self.shared;
        let mut doing = lock(&shared.doing);
        if doing.phase.as_ref().is_some_and(|phase| phase.what == what) {
            return;
        }
        shared.end_phase(&mut doing);
        doing.phase = Some(Phase::new(what));
        if !shared.screen.is_live() && shared.speaks() {
            shared.screen.say(what);
        }
        self.start_ticker();
    }

    pub fn end(&self) {
        let mut doing = lock(&self.shared.doing);
        self.shared.end_phase(&mut doing);
        if doing.work.is_none() {
            self.stop_ticker();
        }
    }

    /// How the build goes.
    pub fn progress(&self, progress: &Progress<'_>) {
        let shared = &self.shared;
        let mut doing = lock(&shared.doing);
        match progress {
            Progress::Output(line) if shared.speaks() => shared.screen.pass_on(line),
            Progress::Packed { function, bytes } if shared.speaks() => {
                if !doing.phase.as_ref().is_some_and(|phase| phase.cached) {
                    let line = format!("packed {function}: {}", text::bytes(*bytes));
                    shared.screen.say(&shared.screen.paint().dim(&line));
                }
            }
            Progress::Output(_) | Progress::Packed { .. } => {}
            Progress::Compiling { done, total, krate } => {
                if let Some(phase) = &mut doing.phase {
                    phase.crates = Some((*done, *total, (*krate).to_owned()));
                }
            }
            Progress::Cached => {
                if let Some(phase) = &mut doing.phase {
                    phase.cached = true;
                }
            }
        }
    }

    /// Whatever is printed from now on does not show this, in no form: a service may give back in
    /// an error what it was sent. Not what is shorter than 6 bytes, which is a part of many words.
    pub fn hide(&self, secret: &str) {
        self.shared.screen.hidden.add(secret);
    }

    /// Results show this, though it was to be hidden: it is what was asked for.
    pub fn reveal(&self, secret: &str) {
        self.shared.screen.hidden.remove(secret);
    }

    /// What is planned for is known by name, whatever else was read to be the same.
    pub fn name(&self, plan: &Plan) {
        self.shared.screen.hidden.spare(plan.steps.iter().map(|step| step.name.as_str()));
    }

    /// From now on results are printed with what acts on the terminal, as whoever wrote it wants.
    pub fn let_through(&self) {
        self.shared.screen.let_through();
    }

    pub fn note(&self, text: &str) {
        if self.shared.speaks() {
            self.shared.screen.say(text);
        }
    }

    pub fn warn(&self, text: &str) {
        let screen = &self.shared.screen;
        screen.say(&format!("{} {text}", screen.paint().yellow("warning:")));
    }

    /// What is about to be done.
    pub fn plan(&self, plan: &Plan) {
        if self.shared.speaks() {
            let screen = &self.shared.screen;
            screen.say(&plan::text(plan, screen.err_width(), screen.paint()));
        }
    }

    /// A plan that is the command's result.
    pub fn planned(&self, plan: &Plan) {
        let screen = &self.shared.screen;
        screen.data(&plan::text(plan, screen.out_width(), screen.out_paint()));
    }

    /// The stack as it is, which is the command's result.
    pub fn status(&self, header: &[(&str, String)], plan: &Plan) {
        let screen = &self.shared.screen;
        let complete = |(label, text): &(_, String)| (*label, screen.complete(text));
        let header: Vec<_> = header.iter().map(complete).collect();
        screen.data(&status::text(&header, plan, screen.out_width(), screen.out_paint()));
    }

    pub fn apply_begins(&self, plan: &Plan) {
        let mut doing = lock(&self.shared.doing);
        self.shared.end_phase(&mut doing);
        let work = Work::new(plan);
        if work.total() > 0 && self.shared.speaks() {
            self.shared.screen.gap();
        }
        doing.work = Some(work);
        self.start_ticker();
    }

    pub fn apply_ends(&self) {
        let shared = &self.shared;
        let mut doing = lock(&shared.doing);
        shared.screen.clear();
        if let Some(work) = doing.work.take()
            && let Some(line) = summary::of_failures(&work, shared.screen.paint())
            && shared.speaks()
        {
            shared.screen.say(&line);
        }
        self.stop_ticker();
    }

    /// Whether somebody is there to answer. With `--json` a program is.
    pub fn can_ask(&self) -> bool {
        !self.shared.options.json
            && std::io::stdin().is_terminal()
            && self.shared.screen.is_terminal()
    }

    /// Asks what can be answered with yes or no; everything but a yes is a no.
    pub fn ask(&self, question: &str) -> bool {
        if !self.can_ask() {
            return false;
        }
        self.end();
        let screen = &self.shared.screen;
        screen.prompt(&text::question(question, screen.paint()));
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer).unwrap_or(0) == 0 {
            screen.say("");
        }
        text::is_yes(&answer)
    }

    /// A result of the command.
    pub fn data(&self, text: &str) {
        self.shared.screen.data(text);
    }

    /// Whether results go to a person's terminal, and not to a program.
    pub fn results_are_read(&self) -> bool {
        self.shared.screen.out_width().is_some()
    }

    /// Nobody reads the results any more: a command without an end should end.
    pub fn is_closed(&self) -> bool {
        self.shared.screen.is_closed()
    }

    /// A result could not be written, which the person was told.
    pub fn is_lost(&self) -> bool {
        self.shared.screen.is_lost()
    }

    /// The one document of `--json`, an object, with its `version`.
    pub fn document(&self, value: &Value) {
        self.shared.document(value);
    }

    /// The one document of `--json` in a form that others prescribe, such as a policy.
    pub fn prescribed(&self, value: &Value) {
        self.shared.write(value.clone());
    }

    /// How it ended: a title, what is worth knowing, and what one may do next.
    pub fn done(&self, title: &str, rows: &[(&str, String)], next: &[String]) {
        self.end();
        if self.shared.speaks() {
            let screen = &self.shared.screen;
            screen.gap();
            let next: Vec<_> = next.iter().map(|next| screen.complete(next)).collect();
            screen.say(&summary::text(title, rows, &next, screen.paint()));
        }
    }

    /// Why the command failed, and what to do about it.
    pub fn error(&self, error: &Error) {
        let screen = &self.shared.screen;
        self.stop_ticker();
        *lock(&self.shared.doing) = Doing::default();
        screen.clear();
        if self.shared.options.json && !self.shared.document_written.load(Ordering::Relaxed) {
            self.document(&errors::document(error));
        } else {
            screen.say(&errors::text(error, screen.paint()));
        }
    }

    fn start_ticker(&self) {
        let mut ticker = lock(&self.ticker);
        if self.shared.options.quiet || ticker.is_some() {
            return;
        }
        let (sender, stopped) = mpsc::channel::<()>();
        let shared = self.shared.clone();
        let pause = if shared.screen.is_live() { FRAME } else { shared.heartbeat / 10 };
        let tick = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                shared.tick();
            }
        };
        // Without a thread nothing moves, and that is all.
        if thread::Builder::new().name("report".into()).spawn(tick).is_ok() {
            *ticker = Some(sender);
        }
    }

    fn stop_ticker(&self) {
        *lock(&self.ticker) = None;
    }
}

impl Voice {
    pub fn note(&self, text: &str) {
        if self.0.speaks() {
            self.0.screen.say(text);
        }
    }

    /// The last that is said: what was under way is taken off the screen, and nothing more gets
    /// there.
    pub fn last(&self, text: &str, exit: u8) {
        let shared = &self.0;
        let doing = lock(&shared.doing);
        if !shared.screen.clear() && shared.screen.is_terminal() {
            // Behind a question, or what the terminal shows of a Ctrl-C.
            shared.screen.say("");
        }
        if shared.options.json && !shared.document_written.load(Ordering::Relaxed) {
            let error = json!({ "message": text, "hint": null, "exit": exit });
            shared.document(&json!({ "error": error }));
        } else {
            shared.screen.say(text);
        }
        std::mem::forget(doing);
    }
}

impl Reporter for Report {
    fn report(&self, event: Event<'_>) {
        self.shared.report(&event);
    }
}

impl Shared {
    /// Whether anything but results, warnings and errors is printed.
    fn speaks(&self) -> bool {
        !self.options.quiet && !self.options.json
    }

    fn document(&self, value: &Value) {
        let mut value = value.clone();
        value["version"] = VERSION.into();
        self.write(value);
    }

    fn write(&self, mut value: Value) {
        let screen = &self.screen;
        self.document_written.store(true, Ordering::Relaxed);
        errors::complete(&mut value, &|text| screen.complete(text));
        screen.data(&if screen.out_width().is_some() {
            format!("{value:#}")
        } else {
            value.to_string()
        });
    }

    fn end_phase(&self, doing: &mut Doing) {
        let Some(phase) = doing.phase.take() else { return };
        if !self.screen.is_live() {
            return;
        }
        self.screen.clear();
        let took = phase.begun.elapsed();
        if self.speaks() && took > BRIEF {
            self.screen.say(&terminal::phase_took(&phase.what, took, self.screen.paint()));
        }
    }

    fn report(&self, event: &Event<'_>) {
        // Before it is cut to what fits into a line.
        let whole = match event {
            Event::Secret { value } => return self.screen.hidden.suspect(value),
            Event::Noted { text, .. } => self.screen.hidden.without(text),
            _ => String::new(),
        };
        let event = &match *event {
            Event::Noted { id, .. } => Event::Noted { id, text: &whole },
            event => event,
        };
        let mut doing = lock(&self.doing);
        let Doing { phase, work } = &mut *doing;
        let Some(work) = work else {
            if let (Event::Noted { id, text }, Some(phase)) = (event, phase) {
                phase.note = lines::about(id, text);
                if !self.screen.is_live() && self.speaks() {
                    self.screen.say(&phase.note);
                }
            }
            return;
        };
        work.take_in(event);
        let paint = self.screen.paint();
        let line = if self.screen.is_live() {
            terminal::event(work, event, self.screen.size().0, paint)
        } else {
            lines::event(work, event, paint)
        };
        let failed = matches!(event, Event::Finished { outcome: Outcome::Failed(_), .. });
        // With `--json` the failures are in the document.
        if let Some(line) = line
            && (self.speaks() || failed && !self.options.json)
        {
            self.screen.say(&line);
        }
    }

    /// The next picture, or a sign of life.
    fn tick(&self) {
        let mut doing = lock(&self.doing);
        let now = Instant::now();
        if self.screen.is_live() {
            let picture = terminal::picture(&doing, self.screen.size(), now, self.screen.paint());
            self.screen.draw(&picture);
        } else {
            for line in lines::heartbeats(&mut doing, now, self.heartbeat) {
                self.screen.say(&line);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
