//! The two streams, and on a terminal the live area below what was printed.

use std::io::{ErrorKind, IsTerminal as _, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lock;
use super::style::Paint;
use super::tame::tame;
use crate::hidden::Hidden;
use crate::invocation::Invocation;

/// Columns and lines of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

type NewTarget = Box<dyn Fn() -> ProgressDrawTarget + Send + Sync>;

pub(super) struct Screen {
    out: Stream,
    err: Stream,
    /// Where the live area is drawn, if something can be.
    target: Option<NewTarget>,
    live: Mutex<Option<ProgressBar>>,
    closed: AtomicBool,
    lost: AtomicBool,
    /// Whether standard error has lines already.
    spoke: AtomicBool,
    /// What is never printed.
    pub hidden: Hidden,
    /// Whether results are printed with what acts on a terminal.
    raw: AtomicBool,
    /// How commands are named.
    invocation: OnceLock<Invocation>,
}

pub(super) struct Stream {
    pub to: Mutex<Box<dyn Write + Send>>,
    /// Columns and lines, if it is a terminal.
    pub size: Option<fn() -> (usize, usize)>,
    pub paint: Paint,
}

impl Screen {
    /// The process's own.
    pub fn standard(color: bool) -> Self {
        // Unix sets TERM on every terminal, Windows on none.
        let dumb = std::env::var_os("TERM").map_or(cfg!(unix), |term| term == "dumb");
        let stream = |to, terminal: bool, size| Stream {
            to: Mutex::new(to),
            size: terminal.then_some(size),
            paint: Paint { on: color && terminal && !dumb },
        };
        let out = stream(Box::new(stdout()), stdout().is_terminal(), || size_of(&Term::stdout()));
        let err = stream(Box::new(stderr()), stderr().is_terminal(), || size_of(&Term::stderr()));
        let target: NewTarget = Box::new(ProgressDrawTarget::stderr);
        let target = (err.size.is_some() && !dumb).then_some(target);
        Self::new(out, err, target)
    }

    pub fn new(out: Stream, err: Stream, target: Option<NewTarget>) -> Self {
        Self {
            out,
            err,
            target,
            live: Mutex::default(),
            closed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            spoke: AtomicBool::new(false),
            hidden: Hidden::default(),
            raw: AtomicBool::new(false),
            invocation: OnceLock::new(),
        }
    }

    /// Whether there is a live area. Without one, what happens becomes lines.
    pub fn is_live(&self) -> bool {
        self.target.is_some()
    }

    pub fn is_terminal(&self) -> bool {
        self.err.size.is_some()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Columns and lines of the terminal.
    pub fn size(&self) -> (usize, usize) {
        self.err.size.map_or(USUAL, |size| size())
    }

    /// Columns that may be filled; no limit off a terminal.
    pub fn err_width(&self) -> Option<usize> {
        self.err.size.map(|size| size().0)
    }

    /// As `err_width`, of standard output.
    pub fn out_width(&self) -> Option<usize> {
        self.out.size.map(|size| size().0)
    }

    pub fn paint(&self) -> Paint {
        self.err.paint
    }

    pub fn out_paint(&self) -> Paint {
        self.out.paint
    }

    /// Results are printed with everything that is in them, from now on.
    pub fn let_through(&self) {
        self.raw.store(true, Ordering::Relaxed);
    }

    /// What may be printed of a text that may come from elsewhere.
    fn safe(&self, text: &str) -> String {
        tame(&self.hidden.without(text)).into_owned()
    }

    /// From now on commands are named as this one was called.
    pub fn name_commands(&self, invocation: Invocation) {
        drop(self.invocation.set(invocation));
    }

    /// The text with the commands in it as they have to be typed.
    pub fn complete(&self, text: &str) -> String {
        self.invocation.get().map_or_else(|| text.to_owned(), |called| called.complete(text))
    }

    /// Prints lines to standard error.
    pub fn say(&self, text: &str) {
        self.prompt(&format!("{text}\n"));
    }

    /// Prints lines of another program's to standard error.
    pub fn pass_on(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// Separates what comes from what was said before, if anything was.
    pub fn gap(&self) {
        if self.spoke.load(Ordering::Relaxed) {
            self.say("");
        }
    }

    /// Prints to standard error and stays on the line.
    pub fn prompt(&self, text: &str) {
        self.print(&self.complete(text));
    }

    /// If nobody can read it, nobody is there to be told so.
    fn print(&self, text: &str) {
        self.spoke.store(true, Ordering::Relaxed);
        self.beside_live(|| {
            let mut to = lock(&self.err.to);
            let text = self.safe(text);
            let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        });
    }

    /// Prints lines to standard output.
    pub fn data(&self, text: &str) {
        let result = self.beside_live(|| {
            let mut to = lock(&self.out.to);
            let raw = self.raw.load(Ordering::Relaxed);
            let text = if raw { self.hidden.without(text) } else { self.safe(text) } + "\n";
            to.write_all(text.as_bytes()).and_then(|()| to.flush())
        });
        let Err(error) = result else { return };
        let first = !self.closed.swap(true, Ordering::Relaxed);
        // A reader that has enough is no error.
        if first && error.kind() != ErrorKind::BrokenPipe {
            self.lost.store(true, Ordering::Relaxed);
            let label = self.paint().red("error:");
            self.say(&format!("{label} failed to write to standard output: {error}"));
        }
    }

    /// Shows `picture` in the live area.
    pub fn draw(&self, picture: &str) {
        let Some(target) = &self.target else { return };
        let mut live = lock(&self.live);
        let bar = live.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, target());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(self.safe(picture));
        self.step_back();
    }

    /// A terminal shows a Ctrl-C where the cursor is: at the beginning of the picture's last line,
    /// not behind its end, where it would begin a line that nobody counts.
    fn step_back(&self) {
        let mut to = lock(&self.err.to);
        let _ = to.write_all(b"\r").and_then(|()| to.flush());
    }

    /// Takes the live area away, if there is one.
    pub fn clear(&self) -> bool {
        let live = lock(&self.live).take();
        live.is_some_and(|bar| {
            bar.finish_and_clear();
            true
        })
    }

    fn beside_live<T>(&self, print: impl FnOnce() -> T) -> T {
        match &*lock(&self.live) {
            Some(bar) => {
                let printed = bar.suspend(print);
                self.step_back();
                printed
            }
            None => print(),
        }
    }
}

fn size_of(terminal: &Term) -> (usize, usize) {
    terminal.size_checked().map_or(USUAL, |(lines, columns)| (columns.into(), lines.into()))
}
