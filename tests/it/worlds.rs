//! Generated worlds: any part of the stack missing, changed by hand, or somebody else's.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::drift::{DRIFTS, Drift};
use crate::strangers::{STRANGERS, Stranger, empty, remove};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};
use crate::support::world::World;

/// Resources that somebody else can have one of, as [`DRIFTS`] calls them, in the order of
/// [`STRANGERS`].
const WHOLE: [&str; 6] =
    ["table.items", "topic.news", "role.front", "log_group.front", "function.front", "http_api"];
/// Resources that hang on others.
const PARTS: [&str; 5] = [
    "subscription.back.news",
    "permission.back.news",
    "permission.front.ANY_/front",
    "orphan.permission.small-front.advent-by-hand",
    "orphan.subscription.small-news.small-front",
];

/// What has become of one resource.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    AsItWas,
    /// Index into [`drifts_of`].
    Drifted(usize),
    Gone,
    /// Somebody else's of the same name, with these tags.
    Taken(Value),
}

fn drifts_of(id: &str) -> Vec<Drift> {
    // Deletions are fates of their own, and the packed project's table has no TTL.
    let own = |drift: &Drift| {
        let whole = WHOLE.contains(&drift.1) && matches!(drift.2, "create" | "ttl");
        drift.1 == id && !whole
    };
    DRIFTS.into_iter().filter(own).collect()
}

fn fate(id: &'static str) -> BoxedStrategy<Fate> {
    let drifts = drifts_of(id).len();
    let mut fates = vec![(5, Just(Fate::AsItWas).boxed())];
    if drifts > 0 {
        fates.push((4, (0..drifts).prop_map(Fate::Drifted).boxed()));
    }
    if WHOLE.contains(&id) {
        let owners = vec![
            json!({}),
            json!({ "team": "theirs" }),
            json!({ "advent:stack": "small", "advent:stage": "dev" }),
            json!({ "advent:stack": "other", "advent:stage": "default" }),
        ];
        fates.push((3, Just(Fate::Gone).boxed()));
        fates.push((1, proptest::sample::select(owners).prop_map(Fate::Taken).boxed()));
    }
    proptest::strategy::Union::new_weighted(fates).boxed()
}

fn worlds() -> impl Strategy<Value = Vec<(&'static str, Fate)>> {
    let ids = WHOLE.into_iter().chain(PARTS);
    ids.map(|id| fate(id).prop_map(move |fate| (id, fate))).collect::<Vec<_>>()
}

fn stranger(id: &str) -> Stranger {
    let index = WHOLE.iter().position(|whole| *whole == id).expect("a whole resource");
    STRANGERS[index]
}

/// Changes a complete stack to what was generated.
fn befall(rig: &Rig, world: &[(&'static str, Fate)]) {
    for (id, fate) in world {
        if let Fate::Drifted(index) = fate {
            (drifts_of(id)[*index].0)(&rig.boto);
        }
    }
    for (id, fate) in world {
        if matches!(fate, Fate::Gone | Fate::Taken(_)) {
            let (kind, name, _) = stranger(id);
            remove(&rig.boto, kind, name);
        }
    }
    for (id, fate) in world {
        if let Fate::Taken(tags) = fate {
            (stranger(id).2)(&rig.boto, tags);
        }
    }
}

/// Of all that there is, what is not ours.
fn strangers_of(World(world): &World) -> World {
    let own = |thing: &Value| {
        let tag = |key: &str| thing["tags"][key].as_str();
        (tag("advent:stack"), tag("advent:stage")) == (Some("small"), Some("default"))
    };
    let mut world = world.clone();
    for things in world.as_object_mut().expect("a world is an object").values_mut() {
        match things {
            Value::Object(things) => things.retain(|_, thing| !own(thing)),
            Value::Array(things) => things.retain(|thing| !own(thing)),
            _ => {}
        }
    }
    World(world)
}

fn generated(cases: u32) {
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    rig.cli.ok(["up"]);
    let clean = rig.world();
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 12, ..Config::default() };
    let result = TestRunner::new(config).run(&worlds(), |world| {
        rig.cli.ok(["up"]);
        befall(&rig, &world);
        let before = rig.world();
        rig.proxy.take();
        if world.iter().any(|(_, fate)| matches!(fate, Fate::Taken(_))) {
            rig.cli.run(["up"]).code(2);
            assert_eq!(rig.proxy.take().mutating(), [""; 0], "refused after a write");
            before.assert_same(&rig.world(), "after a refused up");
        } else {
            rig.assert_up(&clean, "generated");
        }
        rig.cli.ok(["down"]);
        strangers_of(&before).assert_same(&rig.world(), "after down");
        empty(&rig.boto);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn whatever_became_of_the_stack_it_is_repaired_and_strangers_are_not() {
    generated(16);
}

#[test]
#[ignore = "minutes: cargo xtask torture"]
fn whatever_became_of_the_stack_it_is_repaired_and_strangers_are_not_however_often() {
    generated(250);
}
