//! Tools that do as the arguments say, and remember each time that they were begun.

use parking_lot::Mutex;
use remit_abi::{Integrity, TenantId, Tool};
use remit_kernel::ports::{Effect, PortFuture, ToolEnd, ToolFacts, ToolFailure, ToolJob, ToolOutput, Tools, Uncertain};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Tools of these names: what they do, and what becomes of a call that was cut.
const DECLARED: [(&str, Effect, Uncertain); 5] = [
    ("look", Effect::None, Uncertain::Fail),
    ("set", Effect::Idempotent, Uncertain::Fail),
    ("pay", Effect::Keyed, Uncertain::Fail),
    ("send", Effect::Once, Uncertain::Fail),
    ("again", Effect::Once, Uncertain::Retry),
];

/// | arguments have | the tool |
/// | --- | --- |
/// | `fail` | fails |
/// | `late` | is stopped when its time is over |
/// | `gone` | cannot be begun |
/// | `slow` | runs until [`ScriptedTools::release`] |
/// | none of them | says what it was given |
pub(crate) struct ScriptedTools {
    facts: Mutex<BTreeMap<&'static str, Arc<ToolFacts>>>,
    /// Each time that one was begun.
    pub(crate) begun: Mutex<Vec<ToolJob>>,
    /// How many were stopped before they were done.
    pub(crate) stopped: Arc<AtomicUsize>,
    released: Arc<Notify>,
}

fn facts(name: &str, effect: Effect, uncertain: Uncertain) -> Arc<ToolFacts> {
    let tool = Tool { name: name.into(), description: format!("It is {name}.").into(), parameters: "{}".into() };
    Arc::new(ToolFacts { tool, effect, uncertain, integrity: Integrity::Untrusted, tags: Vec::new() })
}

impl Default for ScriptedTools {
    fn default() -> Self {
        let mut declared: BTreeMap<_, _> =
            DECLARED.map(|(name, effect, uncertain)| (name, facts(name, effect, uncertain))).into();
        declared.insert("ask", facts("ask", Effect::Once, Uncertain::Ask { desk: "boss".into() }));
        Self { facts: Mutex::new(declared), begun: Mutex::default(), stopped: Arc::default(), released: Arc::default() }
    }
}

impl ScriptedTools {
    /// Declares a tool otherwise, or not any more.
    pub(crate) fn declare(&self, name: &'static str, change: impl FnOnce(ToolFacts) -> Option<ToolFacts>) {
        let mut declared = self.facts.lock();
        let before = declared.remove(name).expect("it is declared");
        if let Some(facts) = change((*before).clone()) {
            declared.insert(name, Arc::new(facts));
        }
    }

    /// Lets those that run now be done.
    pub(crate) fn release(&self) {
        self.released.notify_waiters();
    }

    /// The keys that a tool was begun with.
    pub(crate) fn keys_of(&self, tool: &str) -> Vec<String> {
        self.begun.lock().iter().filter(|job| *job.tool == *tool).map(|job| job.key.to_string()).collect()
    }
}

/// Counts a call that was stopped.
struct Stops(Option<Arc<AtomicUsize>>);

impl Drop for Stops {
    fn drop(&mut self) {
        if let Some(stopped) = &self.0 {
            stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Tools for ScriptedTools {
    fn names(&self, _: TenantId) -> Vec<Box<str>> {
        self.facts.lock().keys().map(|name| (*name).into()).collect()
    }

    fn facts(&self, _: TenantId, name: &str) -> Option<Arc<ToolFacts>> {
        self.facts.lock().get(name).cloned()
    }

    fn accepts(&self, _: TenantId, _: &str, arguments: &[u8]) -> Result<(), &'static str> {
        if arguments.starts_with(b"{") { Ok(()) } else { Err("the arguments are no object") }
    }

    fn call(&self, job: ToolJob) -> PortFuture<'static, ToolEnd> {
        self.begun.lock().push(job.clone());
        let (mut stops, released) = (Stops(Some(self.stopped.clone())), self.released.clone());
        Box::pin(async move {
            let said = format!("{} {}", job.tool, String::from_utf8_lossy(&job.arguments));
            let has = |word| said.contains(word);
            if has("slow") {
                released.notified().await;
            }
            stops.0.take();
            if has("fail") {
                return Err(ToolFailure::Failed(format!("exit status 3\n{said}").into()));
            } else if has("late") {
                return Err(ToolFailure::TimedOut);
            } else if has("gone") {
                return Err(ToolFailure::Unavailable("it is not there".into()));
            }
            Ok(ToolOutput { bytes: said.into(), media_type: "text/plain".into() })
        })
    }

    fn run(&self, work: PortFuture<'static, ()>) {
        tokio::spawn(work);
    }
}
