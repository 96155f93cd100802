//! With AWS's waits `up` takes as long as the longest chain of them, and sends no more than needed.

use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::local::Local;
use crate::support::proxy::{Imitation, Proxy, Records};
use crate::support::python::python;
use crate::support::world::World;

/// Two waits follow one another, and each is seen to be over when it is asked about next: a poll's
/// pause and its answer for each. What else an `up` takes is measured beside it.
const POLLS: Duration = Duration::from_millis(2 * 250);

/// A machine that is too busy may make it take longer, never shorter.
const ATTEMPTS: usize = 3;

/// Seconds that a role, a table and a function are not ready for.
fn up(role: f64, table: f64, function: f64) -> Records {
    let Some(python) = python() else { return Records::default() };
    let local = Local::start();
    let proxy = Proxy::start(&local.url);
    // Packed: to ask cargo whether something changed is no wait of AWS's.
    let folder = TempDir::new().expect("a folder for the executable");
    let program = folder.path().join("small");
    let out = program.to_str().expect("a path in UTF-8");
    Cli::new(local.project.path()).ok(["pack", "--out", out]);
    let cli = Cli::new(folder.path()).program(&program).endpoint(&proxy.url).arg("--yes");
    let seconds = Duration::from_secs_f64;
    let longest = seconds(f64::max(role + function, table));
    for attempt in 1.. {
        let without = cli.ok(["up"]).took;
        cli.ok(["down"]);
        proxy.imitate(Imitation {
            role_assumable: seconds(role),
            table_creating: seconds(table),
            function_pending: seconds(function),
            ..Imitation::default()
        });
        proxy.take();
        let took = cli.ok(["up"]).took;
        let records = proxy.take();
        let creates = records.count("lambda", "CreateFunction");
        let line = format!(
            "{took:.2?} for waits of {longest:.2?}, {without:.2?} without, {creates} CreateFunction"
        );
        drop(writeln!(std::io::stderr(), "{line}"));
        assert!(took >= longest, "{line}");
        if took <= longest + without + POLLS {
            assert_eq!(cli.ok(["status", "--json"]).json()["in_sync"], true);
            return records;
        }
        assert!(attempt < ATTEMPTS, "{line}\n{records}");
        proxy.heal();
        cli.ok(["down"]);
        World::read(&local.boto(python)).assert_empty("after down");
    }
    unreachable!("the last attempt ends it")
}

#[test]
fn up_takes_the_longest_chain_of_waits() {
    let records = up(2.0, 1.5, 0.5);
    // Two functions, both tried at once; then one of them every 150 ms until one succeeds.
    let creates = records.count("lambda", "CreateFunction");
    assert!(creates <= 2 + 2000 / 150 + 2, "{records}");
}

#[test]
fn a_slow_table_is_seen_when_it_is_active() {
    up(0.2, 3.0, 0.2);
}

#[test]
fn up_takes_the_waits_that_aws_has() {
    up(8.0, 6.0, 2.0);
}
