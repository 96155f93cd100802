//! Large stacks at AWS's published rates: nothing fails, little is throttled, no time is lost.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::support::cli::{Cli, Run};
use crate::support::local::Local;
use crate::support::proxy::{Imitation, Proxy, Rate, Record, Records};
use crate::support::python::python;
use crate::support::world::World;

/// What processes, round trips and a busy machine take besides.
const BESIDES: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
struct Size {
    functions: usize,
    topics: usize,
    tables: usize,
    routes: usize,
}

impl Size {
    fn manifest(self) -> String {
        let mut text = "name = \"small\"\n[http_api]\n".to_owned();
        for table in 0..self.tables {
            writeln!(text, "[table.table{table}]\nkey = \"id\"").expect("text");
        }
        for topic in 0..self.topics {
            writeln!(text, "[topic.topic{topic}]").expect("text");
        }
        for function in 0..self.functions {
            writeln!(text, "[function.f{function}]\npackage = \"front\"").expect("text");
            if function < self.routes {
                writeln!(text, "route = \"POST /f{function}\"").expect("text");
            } else if self.topics > 0 {
                writeln!(text, "topic = \"topic{}\"", function % self.topics).expect("text");
            }
        }
        text
    }
}

struct Scene {
    local: Local,
    proxy: Proxy,
    cli: Cli,
    rates: Vec<Rate>,
}

impl Scene {
    fn new(size: Size, rates: Vec<Rate>) -> Self {
        let local = Local::start();
        local.project.write("advent.toml", &size.manifest());
        let proxy = Proxy::start(&local.url);
        let cli = Cli::new(local.project.path()).endpoint(&proxy.url).arg("--yes");
        let out = cli.home().to_str().expect("a path in UTF-8").to_owned();
        cli.ok(["build", "--quiet", "--out", &out]);
        Self { local, proxy, cli, rates }
    }

    /// Runs a command at the rates, all tokens there. Returns what it asked for, and the most
    /// memory it had, in MB.
    fn run(&self, what: &'static str) -> (Records, f64) {
        self.proxy.imitate(Imitation { rates: self.rates.clone(), ..Imitation::default() });
        let running = self.cli.spawn([what, "--json"]);
        let mut peak = 0.0_f64;
        while !running.has_ended() {
            peak = running.peak().map_or(peak, |now| peak.max(now));
            std::thread::sleep(Duration::from_millis(20));
        }
        let Run { took, .. } = running.wait().code(0);
        let (throttled, records) = (self.proxy.throttled(), self.proxy.take());
        let best = self.best(&records);
        let total = records.len();
        let line = format!(
            "{what}: {took:.1?} (at best {best:.1?}), {total} requests, {throttled} of them \
             throttled, {peak:.0} MB"
        );
        drop(writeln!(std::io::stderr(), "{line}"));
        assert!(took < best.mul_f64(1.2) + BESIDES, "{line}");
        // So few are throttled that the best time may count them in.
        assert!(throttled * 50 <= total, "{line}");
        (records, peak)
    }

    /// What the slowest rate takes for what it let through: reading, and then all that follows,
    /// since nothing is changed before everything is read.
    fn best(&self, records: &Records) -> Duration {
        let all = &records.0;
        let read = all.iter().position(|record| record.operation.mutating).unwrap_or(all.len());
        let (before, after) = all.split_at(read);
        self.slowest(before) + self.slowest(after)
    }

    fn slowest(&self, records: &[Record]) -> Duration {
        let class = |rate: &Rate| {
            let passed = records.iter().filter(|r| (rate.applies)(&r.operation)).count();
            let passed = f64::from(u32::try_from(passed).expect("few requests"));
            (passed - rate.burst) / rate.per_second
        };
        Duration::from_secs_f64(self.rates.iter().map(class).fold(0.0, f64::max))
    }
}

/// Up, up again, status and down. Returns the most memory that the first `up` had, in MB.
fn lifecycle(size: Size) -> f64 {
    let Some(python) = python() else { return 0.0 };
    let scene = Scene::new(size, Rate::published());
    let (_, peak) = scene.run("up");
    let world = World::read(&scene.local.boto(python));
    let count = |kind: &str| world.0[kind].as_object().expect("things by name").len();
    assert_eq!((count("functions"), count("log_groups")), (size.functions, size.functions));
    assert_eq!((count("topics"), count("tables")), (size.topics, size.tables));
    for what in ["up", "status"] {
        let (records, _) = scene.run(what);
        assert_eq!(records.mutating(), [""; 0]);
    }
    scene.run("down");
    World::read(&scene.local.boto(python)).assert_empty("after down");
    peak
}

/// With `ADVENT_TEST_SCALE=full` of the size that `BENCHMARKS.md` tells of, which takes minutes:
/// most of them are spent waiting for the rates of CloudWatch Logs.
#[test]
fn a_stack_beyond_the_bursts_keeps_to_the_rates() {
    let small = Size { functions: 30, topics: 12, tables: 12, routes: 20 };
    let before = lifecycle(small);
    if std::env::var("ADVENT_TEST_SCALE").is_ok_and(|size| size == "full") {
        let full = Size { functions: 200, topics: 50, tables: 50, routes: 100 };
        let each = (lifecycle(full) - before) / 170.0;
        drop(writeln!(std::io::stderr(), "{each:.3} MB a function"));
        assert!(each < 0.2, "{each} MB a function");
    }
}

/// Somebody else in the account uses up most of every rate.
#[test]
fn a_rate_that_others_share_slows_down_and_fails_nothing() {
    let Some(python) = python() else { return };
    let size = Size { functions: 12, topics: 2, tables: 2, routes: 6 };
    let third = |rate: Rate| Rate { per_second: rate.per_second / 3.0, burst: 2.0, ..rate };
    let scene = Scene::new(size, Rate::published().into_iter().map(third).collect());
    scene.proxy.imitate(Imitation { rates: scene.rates.clone(), ..Imitation::default() });
    scene.cli.ok(["up"]);
    let (throttled, records) = (scene.proxy.throttled(), scene.proxy.take());
    let line = format!("{throttled} of {} throttled", records.len());
    drop(writeln!(std::io::stderr(), "{line}"));
    assert!(throttled > 0 && throttled * 2 < records.len(), "{line}");
    let world = World::read(&scene.local.boto(python));
    assert_eq!(world.0["functions"].as_object().expect("functions").len(), size.functions);
}
