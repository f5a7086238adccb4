//! Guests that make a few calls and show their whole memory at the end, so that a test sees both sides of each call: what
//! the door was asked, and what the guest was told.

use crate::{door::ScriptedDoor, program::agent, stage::run};
use bytes::Bytes;
use remit_abi::{CheckpointRequest, Fault, Reply, Request};
use std::sync::Arc;

const SHOW_IMPORT: &str = r#"(import "remit:kernel/checkpoint@0.1.0" "commit" (func $show (param i32 i32 i32)))"#;

/// Shows the first page, in which everything is.
const SHOW: &str = "(call $show (i32.const 0) (i32.const 65536) (i32.const 4032))";

/// What a guest did, and how it ended.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In its order, but for the last one, which showed the memory.
    pub(crate) asked: Vec<Request>,
    /// `None` where it came to its end.
    pub(crate) fault: Option<Fault>,
    memory: Bytes,
}

/// Runs a guest against a script.
pub(crate) fn see(
    imports: &str,
    body: &[String],
    script: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
) -> Seen {
    let guest = agent(&format!("{SHOW_IMPORT}{imports}"), &format!("{} {SHOW}", body.concat()));
    let door = ScriptedDoor::new(100).scripted(move |request| match request {
        Request::Checkpoint(_) => None,
        request => script(request),
    });
    let door = Arc::new(door);
    let exit = run(&guest, &door);
    let mut asked = door.asked();
    let memory = match asked.last() {
        Some(Request::Checkpoint(CheckpointRequest::Commit { state })) => state.clone(),
        _ => Bytes::new(),
    };
    if !memory.is_empty() {
        asked.pop();
    }
    Seen { asked, fault: exit.end.err(), memory }
}

impl Seen {
    /// A byte of the guest's memory, such as the case of a variant.
    pub(crate) fn byte(&self, at: usize) -> u8 {
        assert_eq!(self.fault, None, "it comes to its end");
        self.memory[at]
    }

    pub(crate) fn word(&self, at: usize) -> u32 {
        assert_eq!(self.fault, None, "it comes to its end");
        u32::from_le_bytes(self.memory[at..at + 4].try_into().expect("four bytes"))
    }

    pub(crate) fn long(&self, at: usize) -> u64 {
        u64::from(self.word(at)) | u64::from(self.word(at + 4)) << 32
    }

    /// The text whose address and length are at an address.
    pub(crate) fn text(&self, at: usize) -> &str {
        let (begin, length) = (self.word(at) as usize, self.word(at + 4) as usize);
        std::str::from_utf8(&self.memory[begin..begin + length]).expect("the host gives UTF-8")
    }

    /// That the guest was ended for breaking the protocol, in words with these in them.
    pub(crate) fn broke_the_protocol(&self, words: &str) {
        assert!(matches!(&self.fault, Some(Fault::Protocol(text)) if text.contains(words)), "{:?}", self.fault);
    }

    /// That the host was blamed.
    pub(crate) fn host_failed(&self) {
        assert!(matches!(self.fault, Some(Fault::Host(_))), "{:?}", self.fault);
    }
}
