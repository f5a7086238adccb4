//! `wasi:random`: bytes fit for keys, from the node's entropy.

use super::Context;
use remit_abi::{Fault, RandomReply, RandomRequest, Reply, limits};

pub(super) fn validate(RandomRequest::Bytes { length }: &RandomRequest) -> Result<(), Fault> {
    if *length > limits::RANDOM_BYTES_MAX {
        let sentence =
            format!("it asked for {length} random bytes and {} a call is the most", limits::RANDOM_BYTES_MAX);
        return Err(Fault::Limit(sentence.into()));
    }
    Ok(())
}

pub(super) fn act(context: &mut Context<'_>, RandomRequest::Bytes { length }: &RandomRequest) -> Reply {
    let mut bytes = vec![0; *length as usize];
    match context.shared.ports.entropy.fill(&mut bytes) {
        Ok(()) => Reply::Random(RandomReply::Bytes(bytes.into())),
        Err(fault) => Reply::Fault(fault),
    }
}
