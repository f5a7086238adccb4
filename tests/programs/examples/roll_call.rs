//! Calls each of the neighbours `blocker-0`, `blocker-1` and so on, as many as its input says, with a right to all of them
//! under `peers` (kind `mailbox`, scope `blocker-*`). Says `N answers`; fails where one answers anything but `pong`.

use remit::{
    capability::{Grant, Narrowing},
    mailbox::{self, Outgoing},
    prelude::*,
};
use std::time::Duration;
use test_programs::{number, words};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let count = number(&words(&task)?, 0)?;
    let peers = Grant::take("peers")?;
    for index in 0..count {
        let name = format!("blocker-{index}");
        let peer = peers.attenuate(&name, &Narrowing::new().scope(&[&name]))?;
        let answer = mailbox::call(&peer, Outgoing::new("ping", "ping"), Duration::from_secs(60))?.get()?;
        if answer.topic != "pong" {
            return Err(Failure::new(format!("{name} answered {}", answer.topic)));
        }
        // It may hold a few hundred grants, and there may be more neighbours than that.
        peer.discard();
    }
    emit_text(format!("{count} answers"))?;
    Ok(Outcome::complete())
}
