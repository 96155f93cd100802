//! A cloud that is a map in memory, and two kinds of things in it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail};

use super::super::{AlreadyExists, Changes, Context, Diff, Found, Identity, Resource};

#[derive(Default)]
pub struct FakeCloud {
    pub things: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    pub log: Mutex<Vec<String>>,
    pub fails: Mutex<Option<String>>,
    pub busy: Mutex<(usize, usize)>,
    /// How many reads of `words` still find nothing.
    pub hidden: Mutex<usize>,
    /// Another run deletes what it created as soon as a create was refused for it.
    pub fleeting: Mutex<bool>,
}

impl FakeCloud {
    pub async fn call(&self, verb: &str, name: &str) -> Result<()> {
        {
            let mut busy = self.busy.lock().unwrap();
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.busy.lock().unwrap().0 -= 1;
        if self.fails.lock().unwrap().as_deref() == Some(name) {
            bail!("{verb} {name}: AccessDenied");
        }
        self.log.lock().unwrap().push(format!("{verb} {name}"));
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.things.lock().unwrap().get(name).cloned()
    }

    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

pub struct Table(pub &'static str);
#[derive(Clone)]
pub struct TableState {
    pub arn: String,
}

impl Identity for Table {
    const KIND: &'static str = "table";
    const STALE_READS_AFTER_DELETE: bool = true;
    type Client = FakeCloud;
    type State = TableState;

    fn name(&self) -> &str {
        self.0
    }

    async fn find(&self, cx: &Context<'_, FakeCloud>) -> Result<Found<TableState>> {
        {
            let mut hidden = cx.cloud.hidden.lock().unwrap();
            if self.0 == "words" && *hidden > 0 {
                *hidden -= 1;
                return Ok(Found::Missing);
            }
        }
        Ok(match cx.cloud.get(self.0) {
            None => Found::Missing,
            Some(thing) if thing.contains_key("foreign") => Found::Foreign("no tags".into()),
            Some(_) => Found::Ours(TableState { arn: format!("arn:{}", self.0) }),
        })
    }

    async fn delete(&self, _: &TableState, cx: &Context<'_, FakeCloud>) -> Result<()> {
        cx.cloud.call("delete", self.0).await?;
        cx.cloud.things.lock().unwrap().remove(self.0);
        Ok(())
    }
}

impl Resource for Table {
    type Id = Self;
    type Inputs = ();

    fn id(&self) -> &Self {
        self
    }

    async fn observe(&self, cx: &Context<'_, FakeCloud>) -> Result<Found<TableState>> {
        Identity::find(self, cx).await
    }

    fn diff(&self, (): &(), _: &TableState) -> Diff {
        Diff::Same
    }

    async fn create(&self, (): &(), cx: &Context<'_, FakeCloud>) -> Result<TableState> {
        cx.cloud.call("create", self.0).await?;
        if cx.cloud.get(self.0).is_some() {
            if *cx.cloud.fleeting.lock().unwrap() {
                cx.cloud.things.lock().unwrap().remove(self.0);
            }
            return Err(AlreadyExists.into());
        }
        cx.cloud.things.lock().unwrap().insert(self.0.into(), BTreeMap::new());
        Ok(TableState { arn: format!("arn:{}", self.0) })
    }

    async fn update(
        &self,
        (): &(),
        _: &TableState,
        _: &Context<'_, FakeCloud>,
    ) -> Result<TableState> {
        unreachable!()
    }

    async fn wait_until_ready(&self, _: &TableState, cx: &Context<'_, FakeCloud>) -> Result<()> {
        cx.cloud.call("wait until ready", self.0).await
    }
}

pub struct Function {
    pub name: &'static str,
    pub memory: u32,
    pub arch: &'static str,
}
pub struct FunctionInputs {
    pub role: String,
    pub table: String,
}
#[derive(Clone)]
pub struct FunctionState {
    pub memory: u32,
    pub arch: String,
    pub role: String,
    pub table: String,
}

impl Function {
    fn state(&self, cloud: &FakeCloud) -> Option<FunctionState> {
        let thing = cloud.get(self.name)?;
        Some(FunctionState {
            memory: thing["memory"].parse().unwrap(),
            arch: thing["arch"].clone(),
            role: thing["role"].clone(),
            table: thing["table"].clone(),
        })
    }
}

impl Identity for Function {
    const KIND: &'static str = "function";
    type Client = FakeCloud;
    type State = FunctionState;

    fn name(&self) -> &str {
        self.name
    }

    async fn find(&self, cx: &Context<'_, FakeCloud>) -> Result<Found<FunctionState>> {
        Ok(self.state(cx.cloud).map_or(Found::Missing, Found::Ours))
    }

    async fn delete(&self, _: &FunctionState, cx: &Context<'_, FakeCloud>) -> Result<()> {
        cx.cloud.call("delete", self.name).await?;
        cx.cloud.things.lock().unwrap().remove(self.name);
        Ok(())
    }
}

impl Resource for Function {
    type Id = Self;
    type Inputs = FunctionInputs;

    fn id(&self) -> &Self {
        self
    }

    async fn observe(&self, cx: &Context<'_, FakeCloud>) -> Result<Found<FunctionState>> {
        Identity::find(self, cx).await
    }

    fn diff(&self, inputs: &FunctionInputs, state: &FunctionState) -> Diff {
        let mut changes = Changes::default();
        changes.compare("arch", state.arch.as_str(), self.arch);
        if !changes.0.is_empty() {
            return Diff::Replace(changes.0);
        }
        changes.compare("memory", &state.memory, &self.memory);
        changes.compare("role", &state.role, &inputs.role);
        changes.compare("table", &state.table, &inputs.table);
        changes.update()
    }

    async fn create(
        &self,
        inputs: &FunctionInputs,
        cx: &Context<'_, FakeCloud>,
    ) -> Result<FunctionState> {
        cx.note("waiting for the role");
        cx.cloud.call("create", self.name).await?;
        Ok(self.put(inputs, cx.cloud))
    }

    async fn update(
        &self,
        inputs: &FunctionInputs,
        _: &FunctionState,
        cx: &Context<'_, FakeCloud>,
    ) -> Result<FunctionState> {
        cx.cloud.call("update", self.name).await?;
        Ok(self.put(inputs, cx.cloud))
    }
}

impl Function {
    fn put(&self, inputs: &FunctionInputs, cloud: &FakeCloud) -> FunctionState {
        let thing = [
            ("memory", self.memory.to_string()),
            ("arch", self.arch.to_owned()),
            ("role", inputs.role.clone()),
            ("table", inputs.table.clone()),
        ];
        let thing = thing.map(|(key, value)| (key.to_owned(), value));
        cloud.things.lock().unwrap().insert(self.name.into(), thing.into());
        self.state(cloud).unwrap()
    }
}
