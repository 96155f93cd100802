//! The engine against a cloud that is a map in memory.

mod fake;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{
    Action, Change, Event, Goal, Handle, Interrupt, Options, Outcome, Plan, Reporter, Stack,
};
use fake::{FakeCloud, Function, FunctionInputs, Table};

/// role, table -> count; role2, table -> boost. `Table` stands in for roles too.
fn stack(memory: u32, arch: &'static str) -> Stack<FakeCloud> {
    let mut stack = Stack::default();
    let table = stack.add("words", Table("words"));
    for (name, role) in [("count", "count-role"), ("boost", "boost-role")] {
        let role: Handle<Table> = stack.add(role, Table(role));
        stack.add_with(name, Function { name, memory, arch }, (role, table), |(role, table)| {
            FunctionInputs { role: role.arn.clone(), table: table.arn.clone() }
        });
    }
    stack
}

async fn apply(stack: &Stack<FakeCloud>, cloud: &FakeCloud, plan: &Plan) -> Vec<String> {
    apply_with(stack, cloud, plan, &()).await
}

async fn apply_with(
    stack: &Stack<FakeCloud>,
    cloud: &FakeCloud,
    plan: &Plan,
    reporter: &dyn Reporter,
) -> Vec<String> {
    let interrupt = Interrupt::default();
    let options = Options { concurrency: 10, interrupt: &interrupt };
    let applied = stack.apply(plan, cloud, options, reporter).await;
    applied.reports.iter().map(|report| say(&report.outcome)).collect()
}

fn say(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".into(),
        Outcome::Failed(error) => format!("failed: {error}"),
        Outcome::Skipped => "skipped".into(),
    }
}

async fn plan_up(stack: &Stack<FakeCloud>, cloud: &FakeCloud) -> Plan {
    stack.plan_up(stack.read(cloud, &(), Goal::Up, 0).await.unwrap())
}

async fn plan_down(stack: &Stack<FakeCloud>, cloud: &FakeCloud) -> Plan {
    stack.plan_down(stack.read(cloud, &(), Goal::Down, 0).await.unwrap())
}

async fn up(stack: &Stack<FakeCloud>, cloud: &FakeCloud) -> Vec<String> {
    let plan = plan_up(stack, cloud).await;
    apply(stack, cloud, &plan).await
}

async fn down(stack: &Stack<FakeCloud>, cloud: &FakeCloud) -> Vec<String> {
    let plan = plan_down(stack, cloud).await;
    apply(stack, cloud, &plan).await
}

fn action<'a>(plan: &'a Plan, id: &str) -> &'a Action {
    &plan.steps.iter().find(|step| step.id == id).unwrap().action
}

const DONE: [&str; 5] = ["done"; 5];

#[tokio::test(start_paused = true)]
async fn up_works_on_what_is_ready_and_a_second_up_changes_nothing() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    let begun = tokio::time::Instant::now();
    assert_eq!(up(&stack, &cloud).await, DONE);
    assert_eq!(
        begun.elapsed().as_secs(),
        2,
        "two layers, and nobody waits for tables to wait_until_ready"
    );
    assert_eq!(cloud.busy.lock().unwrap().1, 5, "two functions beside three that wait_until_ready");
    assert_eq!(cloud.log().len(), 5 + 3);

    let plan = plan_up(&stack, &cloud).await;
    assert!(plan.is_empty());
    assert_eq!(up(&stack, &cloud).await, DONE);
    assert!(cloud.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_spares_what_does_not_depend_on_it_and_up_continues() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    *cloud.fails.lock().unwrap() = Some("count-role".into());
    let failed = "failed: create count-role: AccessDenied";
    assert_eq!(up(&stack, &cloud).await, ["done", failed, "skipped", "done", "done"]);
    cloud.log();

    *cloud.fails.lock().unwrap() = None;
    assert_eq!(up(&stack, &cloud).await, DONE);
    let mut log = cloud.log();
    log.sort();
    // The table is there; that is asked by creating it, since the function is not.
    assert_eq!(
        log,
        ["create count", "create count-role", "create words", "wait until ready count-role"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_each_change() {
    let cloud = FakeCloud::default();
    up(&stack(128, "arm64"), &cloud).await;
    let plan = plan_up(&stack(256, "arm64"), &cloud).await;
    let change = Change { field: "memory".into(), from: "128".into(), to: "256".into() };
    assert_eq!(action(&plan, "count"), &Action::Update(vec![change]));
    assert_eq!(action(&plan, "words"), &Action::Keep);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_on_something_missing_is_rechecked_then_left_alone() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    up(&stack, &cloud).await;
    cloud.things.lock().unwrap().remove("count-role");
    cloud.log();
    let plan = plan_up(&stack, &cloud).await;
    assert_eq!(action(&plan, "count"), &Action::Recheck);
    apply(&stack, &cloud, &plan).await;
    assert_eq!(cloud.log(), ["create count-role", "wait until ready count-role"]);
}

#[tokio::test(start_paused = true)]
async fn apply_never_replaces_what_the_plan_did_not() {
    let cloud = FakeCloud::default();
    up(&stack(128, "arm64"), &cloud).await;
    cloud.things.lock().unwrap().remove("count-role");
    let stack = stack(128, "x86_64");
    let plan = plan_up(&stack, &cloud).await;
    assert_eq!(action(&plan, "count"), &Action::Recheck);
    assert!(matches!(action(&plan, "boost"), Action::Replace(_)));
    let outcomes = apply(&stack, &cloud, &plan).await;
    assert!(outcomes[2].contains("plan again"));
    assert_eq!(outcomes[4], "done");
}

#[tokio::test(start_paused = true)]
async fn down_deletes_dependants_first_even_when_a_dependency_is_gone() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    up(&stack, &cloud).await;
    cloud.things.lock().unwrap().remove("count-role");
    cloud.log();
    assert_eq!(down(&stack, &cloud).await, DONE);
    assert!(cloud.things.lock().unwrap().is_empty());
    let log = cloud.log();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("delete count") < at("delete words"));
    assert!(at("delete boost") < at("delete boost-role"));
}

#[tokio::test(start_paused = true)]
async fn what_is_foreign_is_named_by_up_and_passed_by_down() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    let foreign = BTreeMap::from([("foreign".to_owned(), String::new())]);
    cloud.things.lock().unwrap().insert("words".into(), foreign);
    let plan = plan_up(&stack, &cloud).await;
    let (step, whose) = plan.foreign().next().unwrap();
    assert_eq!((step.id.as_str(), whose), ("words", "no tags"));
    let outcomes = apply(&stack, &cloud, &plan).await;
    assert_eq!(outcomes[0], "failed: table words is not this stack's: no tags");
    down(&stack, &cloud).await;
    assert_eq!(cloud.things.lock().unwrap().keys().collect::<Vec<_>>(), ["words"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_run_created_meanwhile_is_taken_on() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    let plan = plan_up(&stack, &cloud).await;
    cloud.things.lock().unwrap().insert("words".into(), BTreeMap::new());
    assert_eq!(apply(&stack, &cloud, &plan).await, DONE);
}

#[tokio::test(start_paused = true)]
async fn what_another_run_created_and_deleted_is_created_without_a_long_wait() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    let plan = plan_up(&stack, &cloud).await;
    cloud.things.lock().unwrap().insert("words".into(), BTreeMap::new());
    *cloud.fleeting.lock().unwrap() = true;
    let begun = tokio::time::Instant::now();
    assert_eq!(apply(&stack, &cloud, &plan).await, DONE);
    assert!(cloud.get("words").is_some());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_goes_last_and_in_order() {
    let mut stack = stack(128, "arm64");
    let cloud = FakeCloud::default();
    stack.prune("old", Table("old"));
    stack.prune("user", Table("user"));
    for name in ["old", "user"] {
        cloud.things.lock().unwrap().insert(name.into(), BTreeMap::new());
    }
    assert_eq!(up(&stack, &cloud).await, ["done"; 7]);
    let log = cloud.log();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("create boost") < at("delete old"));
    assert!(at("create boost") < at("delete user"));
    assert!(plan_up(&stack, &cloud).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_with_its_parent_costs_no_call() {
    let (mut stack, cloud) = (Stack::default(), FakeCloud::default());
    let owner = stack.add("owner", Table("owner"));
    let child = stack.add("child", Table("child"));
    stack.deleted_with_parent(child, owner);
    up(&stack, &cloud).await;
    cloud.log();
    assert_eq!(down(&stack, &cloud).await, ["done", "done"]);
    assert_eq!(cloud.log(), ["delete owner"]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_begins_nothing_new() {
    struct Raise<'a>(&'a Interrupt);
    impl Reporter for Raise<'_> {
        fn report(&self, event: Event<'_>) {
            if matches!(event, Event::Started { .. }) {
                self.0.raise();
            }
        }
    }
    let (stack, cloud, interrupt) =
        (stack(128, "arm64"), FakeCloud::default(), Interrupt::default());
    let plan = plan_up(&stack, &cloud).await;
    let options = Options { concurrency: 1, interrupt: &interrupt };
    let applied = stack.apply(&plan, &cloud, options, &Raise(&interrupt)).await;
    let outcomes: Vec<_> = applied.reports.iter().map(|report| say(&report.outcome)).collect();
    assert_eq!(outcomes, ["done", "skipped", "skipped", "skipped", "skipped"]);
    assert_eq!(cloud.log(), ["create words", "wait until ready words"]);
}

#[tokio::test(start_paused = true)]
async fn every_step_is_reported() {
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);
    impl Reporter for Recorder {
        fn report(&self, event: Event<'_>) {
            let line = match event {
                Event::Started { id, action } => format!("{id}: {action:?}"),
                Event::Noted { id, text } => format!("{id}: {text}"),
                Event::Secret { .. } => return,
                Event::Finished { id, outcome, took, .. } => {
                    format!("{id}: {} {}", say(outcome), took.as_secs())
                }
            };
            self.0.lock().unwrap().push(line);
        }
    }
    let (stack, cloud, recorder) = (stack(128, "arm64"), FakeCloud::default(), Recorder::default());
    let plan = plan_up(&stack, &cloud).await;
    apply_with(&stack, &cloud, &plan, &recorder).await;
    let lines = recorder.0.into_inner().unwrap();
    assert!(lines.contains(&"count: waiting for the role".to_owned()));
    assert_eq!(lines.len(), 5 + 5 + 2);
}

#[tokio::test(start_paused = true)]
async fn what_only_seems_to_be_there_is_created_where_something_needs_it() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    for name in ["words", "count-role"] {
        cloud.things.lock().unwrap().insert(name.into(), BTreeMap::new());
    }
    let plan = plan_up(&stack, &cloud).await;
    assert_eq!(*action(&plan, "words"), Action::Keep);
    // Deleted before it was read, but the read did not know that yet.
    cloud.things.lock().unwrap().remove("words");
    assert_eq!(apply(&stack, &cloud, &plan).await, DONE);
    assert!(cloud.get("words").is_some() && cloud.get("count").is_some());
    // Nothing is missing: nothing is doubted.
    cloud.log();
    assert_eq!(up(&stack, &cloud).await, DONE);
    assert_eq!(cloud.log(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_exists_but_is_hidden_from_reads_is_waited_for() {
    let (stack, cloud) = (stack(128, "arm64"), FakeCloud::default());
    cloud.things.lock().unwrap().insert("words".into(), BTreeMap::new());
    *cloud.hidden.lock().unwrap() = 5;
    let plan = plan_up(&stack, &cloud).await;
    assert_eq!(*action(&plan, "words"), Action::Create);
    let interrupt = Interrupt::default();
    let options = Options { concurrency: 10, interrupt: &interrupt };
    let applied = stack.apply(&plan, &cloud, options, &()).await;
    assert!(applied.reports.iter().all(|report| report.outcome.is_done()));
    assert!(applied.conflict, "somebody else has created it");
}
