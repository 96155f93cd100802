//! Resources that do as they are told, and a terminal that remembers.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use indicatif::{ProgressDrawTarget, TermLike};

use super::super::screen::{Screen, Stream};
use super::super::style::Paint;
use super::super::{Options, Report, lock};
use crate::engine::{
    self, Context, Diff, Found, Goal, Identity, Interrupt, Loss, Plan, Resource, Stack,
};

/// A resource of a kind that its letter stands for.
pub struct Fake<const KIND: char> {
    pub name: String,
    pub found: Found<()>,
    pub diff: Diff,
    pub note: Option<&'static str>,
    pub error: Option<fn() -> Error>,
    pub data: Option<&'static str>,
    pub pause: Duration,
}

impl<const KIND: char> Fake<KIND> {
    pub fn missing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            found: Found::Missing,
            diff: Diff::Same,
            note: None,
            error: None,
            data: None,
            pause: Duration::ZERO,
        }
    }

    pub fn ours(name: &str) -> Self {
        Self { found: Found::Ours(()), ..Self::missing(name) }
    }

    async fn work(&self, cx: &Context<'_, ()>) -> Result<()> {
        self.note.iter().for_each(|note| cx.note(note));
        tokio::time::sleep(self.pause).await;
        self.error.map_or(Ok(()), |error| Err(error()))
    }
}

impl<const KIND: char> Identity for Fake<KIND> {
    const KIND: &'static str = match KIND {
        't' => "table",
        'r' => "role",
        'f' => "function",
        'p' => "permission",
        'l' => "log group",
        _ => "topic",
    };
    type Client = ();
    type State = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn loss(&self, (): &()) -> Loss {
        self.data.map_or(Loss::Settings, |data| Loss::Data(data.to_owned()))
    }

    async fn find(&self, _: &Context<'_, ()>) -> Result<Found<()>> {
        Ok(self.found.clone())
    }

    async fn delete(&self, (): &(), cx: &Context<'_, ()>) -> Result<()> {
        self.work(cx).await
    }
}

impl<const KIND: char> Resource for Fake<KIND> {
    type Id = Self;
    type Inputs = ();

    fn id(&self) -> &Self {
        self
    }

    async fn observe(&self, cx: &Context<'_, ()>) -> Result<Found<()>> {
        Identity::find(self, cx).await
    }

    fn diff(&self, (): &(), (): &()) -> Diff {
        self.diff.clone()
    }

    async fn create(&self, (): &(), cx: &Context<'_, ()>) -> Result<()> {
        self.work(cx).await
    }

    async fn update(&self, (): &(), (): &(), cx: &Context<'_, ()>) -> Result<()> {
        self.work(cx).await
    }
}

pub async fn planned(stack: &Stack<()>, goal: Goal) -> Plan {
    let known = stack.read(&(), &(), goal, 0).await.unwrap();
    match goal {
        Goal::Up => stack.plan_up(known),
        Goal::Down => stack.plan_down(known),
    }
}

/// Plans, and carries it out before the eyes of `report`.
pub async fn applied(stack: &Stack<()>, goal: Goal, report: &Report) {
    let plan = planned(stack, goal).await;
    let interrupt = Interrupt::default();
    let options = engine::Options { concurrency: 8, interrupt: &interrupt };
    report.apply_begins(&plan);
    stack.apply(&plan, &(), options, report).await;
    report.apply_ends();
}

/// A report to `terminal`, which is one for it only if `live`.
pub fn report(options: Options, terminal: &Terminal, live: bool, heartbeat: Duration) -> Report {
    let paint = Paint { on: false };
    let out = Results(terminal.clone());
    let out = Stream { to: Mutex::new(Box::new(out)), size: None, paint };
    let size: fn() -> (usize, usize) = || (100, 30);
    let err =
        Stream { to: Mutex::new(Box::new(terminal.clone())), size: live.then_some(size), paint };
    let drawn = terminal.clone();
    let target = move || ProgressDrawTarget::term_like(Box::new(drawn.clone()));
    let screen = Screen::new(out, err, live.then(|| Box::new(target) as _));
    Report::with(options, screen, heartbeat)
}

/// Standard error as a terminal shows it, and standard output as it was written.
#[derive(Clone)]
pub struct Terminal {
    grid: Arc<Mutex<Grid>>,
    results: Arc<Mutex<Vec<u8>>>,
    broken: Arc<Mutex<Option<ErrorKind>>>,
    width: u16,
}

#[derive(Default)]
struct Grid {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    pub fn new(width: u16) -> Self {
        Self { grid: Arc::default(), results: Arc::default(), broken: Arc::default(), width }
    }

    pub fn break_results(&self, kind: ErrorKind) {
        *lock(&self.broken) = Some(kind);
    }

    pub fn results(&self) -> String {
        String::from_utf8(lock(&self.results).clone()).unwrap()
    }

    /// What is to be seen, without what a terminal leaves of a line that was cleared.
    pub fn text(&self) -> String {
        let grid = lock(&self.grid);
        let lines = grid.lines.iter().map(|line| line.iter().collect::<String>());
        let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
        let text = lines.join("\n");
        let end = text.trim_end();
        if end.is_empty() { String::new() } else { format!("{end}\n") }
    }

    /// Waits until `text` is to be seen.
    pub fn shows(&self, text: &str) {
        let begun = Instant::now();
        while !self.text().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {text:?} in {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As `text`, with every time, and the space before it, as ` T`.
    pub fn redacted(&self) -> String {
        let text = self.text();
        text.lines().fold(String::new(), |all, line| all + &redacted(line) + "\n")
    }

    fn write(&self, text: &str) {
        let mut grid = lock(&self.grid);
        for letter in text.chars() {
            match letter {
                '\n' => (grid.row, grid.column) = (grid.row + 1, 0),
                '\r' => grid.column = 0,
                letter => grid.put(letter, self.width),
            }
        }
    }
}

impl Grid {
    fn put(&mut self, letter: char, width: u16) {
        if self.column >= usize::from(width) {
            (self.row, self.column) = (self.row + 1, 0);
        }
        let (row, column) = (self.row, self.column);
        if self.lines.len() <= row {
            self.lines.resize(row + 1, Vec::new());
        }
        let line = &mut self.lines[row];
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = letter;
        self.column += 1;
    }
}

fn redacted(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        let is_time = matches!(word, "s" | "ms")
            && words.last().is_some_and(|number| number.parse::<f32>().is_ok());
        if is_time {
            words.pop();
            while words.last() == Some(&"") {
                words.pop();
            }
            if words.len() > 2 && words.last() != Some(&"in") && words.last() != Some(&"after") {
                words.push("");
            }
        }
        words.push(if is_time { "T" } else { word });
    }
    words.join(" ")
}

/// Without what makes colours.
pub fn stripped(text: &str) -> String {
    console::strip_ansi_codes(text).into_owned()
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Results(Terminal);

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = *lock(&self.0.broken) {
            return Err(kind.into());
        }
        lock(&self.0.results).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.width
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut grid = lock(&self.grid);
        grid.row = grid.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        lock(&self.grid).row += n;
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        lock(&self.grid).column += n;
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        let mut grid = lock(&self.grid);
        grid.column = grid.column.saturating_sub(n);
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.write(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut grid = lock(&self.grid);
        let row = grid.row;
        if let Some(line) = grid.lines.get_mut(row) {
            line.clear();
        }
        grid.column = 0;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
