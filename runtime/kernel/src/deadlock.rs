//! Who waits for whom, so that two who wait for each other are told.
//!
//! A process waits for another in one of three ways: for its answer to a call, for its end, or for room in its mailbox. Each
//! is an edge, a process has one at most, and an edge is drawn before the wait begins. Whoever would close a circle gets an
//! error instead of waiting. Every edge of the circle is looked at again first: what it waits for may have come while its
//! process has not yet gone on.
//!
//! What is not an edge: waiting for any of several things, or for a message of anybody. A process that does so is at the
//! mercy of who sends, as every server is; its callers go on when their calls' time is over, which every call has.

use crate::{calls::PendingCall, control::ControlBlock, room::Waiting};
use parking_lot::Mutex;
use remit_abi::Pid;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What one process waits for another one to do.
#[derive(Clone, Debug)]
pub(crate) enum Awaited {
    Answer(Arc<PendingCall>),
    End(Arc<ControlBlock>),
    Room(Pid, Arc<Waiting>),
}

impl Awaited {
    fn of(&self) -> Pid {
        match self {
            Self::Answer(call) => call.receiver,
            Self::End(block) => block.pid,
            Self::Room(pid, _) => *pid,
        }
    }

    fn is_to_come(&self) -> bool {
        match self {
            Self::Answer(call) => call.is_open(),
            Self::End(block) => !block.has_ended(),
            Self::Room(_, waiting) => waiting.is_in_line(),
        }
    }
}

/// Two or more processes would wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circle;

/// All waits of the node that are edges.
#[derive(Debug, Default)]
pub(crate) struct WaitGraph {
    edges: Mutex<FxHashMap<Pid, Awaited>>,
}

impl WaitGraph {
    /// Draws an edge, unless it would close a circle.
    pub(crate) fn wait(&self, waiter: Pid, awaited: Awaited) -> Result<Edge<'_>, Circle> {
        let mut edges = self.edges.lock();
        let mut next = Some(awaited.of());
        // Without a circle no process comes twice, so that the walk ends after as many steps as there are edges.
        for _ in 0..=edges.len() {
            let Some(pid) = next else { break };
            if pid == waiter {
                return Err(Circle);
            }
            next = edges.get(&pid).filter(|edge| edge.is_to_come()).map(Awaited::of);
        }
        edges.insert(waiter, awaited);
        Ok(Edge { graph: self, waiter })
    }
}

/// A wait, until it is dropped.
#[derive(Debug)]
pub(crate) struct Edge<'a> {
    graph: &'a WaitGraph,
    waiter: Pid,
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        self.graph.edges.lock().remove(&self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::TenantId;

    fn pid(index: u32) -> Pid {
        Pid { tenant: TenantId(0), index, generation: 1 }
    }

    fn call(receiver: u32) -> (Awaited, crate::calls::Answer) {
        let (call, answer) = PendingCall::new(0, pid(receiver), 0);
        (Awaited::Answer(call), answer)
    }

    #[test]
    fn whoever_would_close_a_circle_is_told() {
        let graph = WaitGraph::default();
        let ((one_two, _a), (two_three, _b), (three_one, _c)) = (call(2), call(3), call(1));
        let _first = graph.wait(pid(1), one_two).expect("nobody waits");
        let second = graph.wait(pid(2), two_three).expect("a chain is no circle");
        assert_eq!(graph.wait(pid(3), three_one.clone()).err(), Some(Circle));
        drop(second);
        assert!(graph.wait(pid(3), three_one).is_ok());
        let (to_itself, _d) = call(4);
        assert_eq!(graph.wait(pid(4), to_itself).err(), Some(Circle));
    }

    #[test]
    fn an_edge_whose_wait_is_over_closes_nothing() {
        let graph = WaitGraph::default();
        let ((one_two, answer), (two_one, _b)) = (call(2), call(1));
        let _first = graph.wait(pid(1), one_two).expect("nobody waits");
        drop(answer);
        assert!(graph.wait(pid(2), two_one).is_ok(), "the first call is settled, its process just has not gone on yet");
    }
}
