//! Whatever one process does, two others speak to each other undisturbed: every call is answered, and rightly so. How fast
//! that is, is measured by `cargo xtask bench neighbour`.

use crate::{
    heavy,
    stage::{Job, Stage, install_programs, peer, program_asking, task, tokens, workers},
};
use remit_abi::{TenantId, limits::TenantLimits};
use remit_assembly::{GrantChoice, Package, Running, StartError};
use std::{cell::Cell, path::Path, sync::Arc};

/// Calls, one after the other.
const CALLS: &str = "50";

/// All processes of a test together: fewer than the host has places for, so that nobody is short of one.
const PROCESSES: u64 = 24;

/// The right to the model, as a program takes it by `chat`.
const CHAT: &str = "[[wants.models]]\nlabel = \"chat\"\n";

/// Does mischief over and over until the well-behaved pair is done.
struct Neighbourhood {
    stage: Arc<Stage>,
    done: Cell<bool>,
}

impl Neighbourhood {
    fn new() -> Self {
        let stage = Stage::new("answers.json");
        let limits = TenantLimits { processes_max: PROCESSES, ..TenantLimits::default() };
        stage.node.kernel().set_limits(TenantId(0), limits);
        Self { stage: Arc::new(stage), done: Cell::new(false) }
    }

    fn start(&self, name: &str, manifest: &str, text: &str) -> Running {
        let budget = Some(tokens(1_000_000));
        let job = Job { budget, name: Some(name.to_owned()), ..task(program_asking(name, manifest), text) };
        self.stage.start(job).expect("it starts")
    }

    /// Starts one that misbehaves, and again whenever it has come to its end.
    async fn misbehave(&self, name: &str, manifest: &str, text: &str) {
        while !self.done.get() {
            let Running { mut events, finished, .. } = self.start(name, manifest, text);
            // What it shows is read and thrown away: a listener that is slow would slow it down.
            tokio::join!(finished, async { while events.recv().await.is_some() {} });
        }
    }

    /// Hands the node a component, and again whenever it has refused it; what it said.
    async fn hand_in(&self, package: Package) -> Vec<String> {
        let mut refusals = Vec::new();
        while !self.done.get() {
            let (stage, package) = (self.stage.clone(), package.clone());
            let loaded = tokio::task::spawn_blocking(move || stage.node.load(&package, &GrantChoice::All).map(drop));
            match loaded.await.expect("it does not panic") {
                Err(StartError::Load(refused)) => refusals.push(refused.to_string()),
                other => panic!("{other:?}"),
            }
        }
        refusals
    }

    /// Two that speak to each other. The one who calls is there from the beginning, and speaks when it is let.
    fn pair(&self) -> (Running, Running) {
        let server = self.start("echo_server", "", CALLS);
        let pinger = self.start("pinger", &peer("echo_server"), CALLS);
        self.stage.node.kernel().suspend(pinger.pid);
        (server, pinger)
    }

    /// Lets the pair speak, and ends the mischief after that.
    async fn behave(&self, (server, pinger): (Running, Running)) {
        self.stage.node.kernel().resume(pinger.pid);
        let pinged = self.stage.follow(pinger).await;
        self.done.set(true);
        let others = self.stage.alive();
        others.iter().filter(|other| other.pid != server.pid).for_each(|other| self.stage.node.kill(other.pid));
        assert_eq!(pinged.text(), "done", "{:?}", pinged.finished.ended);
        let served = self.stage.follow(server).await;
        assert!(served.is_complete(), "{:?}", served.finished.ended);
    }

    fn assert_unharmed(&self) {
        assert!(self.stage.alive().is_empty(), "{:?}", self.stage.alive());
        assert!(self.stage.node.is_conserved(), "tokens were made or lost");
    }
}

/// That a pair speaks on while this program runs.
async fn check(name: &str, manifest: &str, text: &str) {
    let here = Neighbourhood::new();
    let pair = here.pair();
    tokio::join!(here.misbehave(name, manifest, text), here.behave(pair));
    here.assert_unharmed();
}

/// That a pair speaks on while the node is handed this component, which it refuses in these words.
async fn check_refused(component: impl FnOnce(&Path) -> Package, words: &str) {
    let here = Neighbourhood::new();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let pair = here.pair();
    let (refusals, ()) = tokio::join!(here.hand_in(component(folder.path())), here.behave(pair));
    assert!(!refusals.is_empty() && refusals.iter().all(|refusal| refusal.contains(words)), "{refusals:?}");
    here.assert_unharmed();
}

#[tokio::test]
async fn an_endless_loop_next_door() {
    check("spin", "", "").await;
}

#[tokio::test]
async fn endless_bulk_memory_next_door() {
    check("bulk_memory", "", "").await;
}

#[tokio::test]
async fn a_memory_bomb_next_door() {
    check("memory_bomb", "[limits]\nmemory_bytes_max = 67108864\n", "").await;
}

#[tokio::test]
async fn a_growing_table_next_door() {
    check("table_growth", "", "").await;
}

#[tokio::test]
async fn a_million_host_calls_next_door() {
    check("host_calls", "", "1000000").await;
}

#[tokio::test]
async fn a_flood_of_messages_to_the_one_who_is_called() {
    check("mailbox_flood", &peer("echo_server"), "peer send").await;
}

#[tokio::test]
async fn a_flood_of_logs_next_door() {
    check("log_flood", "", "").await;
}

#[tokio::test]
async fn a_fork_bomb_next_door() {
    install_programs(&["fork_bomb"]);
    check("fork_bomb", &workers(&["fork_bomb"]), "").await;
}

#[tokio::test]
async fn a_leak_of_handles_next_door() {
    check("handle_leak", CHAT, "chat").await;
}

#[tokio::test]
async fn giant_data_next_door() {
    check("giant_data", "", "emit 21000").await;
}

#[tokio::test]
async fn a_component_of_200_mb_handed_in_next_door() {
    check_refused(heavy::large, "67108864").await;
}

#[tokio::test]
async fn a_component_that_compiles_for_minutes_next_door() {
    check_refused(heavy::slow, "10 s").await;
}
