//! `remit:kernel/checkpoint`: the state to go on from.

use crate::{
    bindings::remit::kernel::checkpoint,
    guest::{Guest, mismatch},
};
use remit_abi::{CheckpointError, CheckpointRequest, Reply, Request};
use wasmtime::Result;

impl checkpoint::Host for Guest {
    async fn commit(&mut self, state: Vec<u8>) -> Result<std::result::Result<(), checkpoint::CheckpointError>> {
        let request = Request::Checkpoint(CheckpointRequest::Commit { state: state.into() });
        match self.call_waiting(request).await? {
            Reply::Checkpoint(Ok(())) => Ok(Ok(())),
            Reply::Checkpoint(Err(CheckpointError::TooLarge { limit })) => {
                Ok(Err(checkpoint::CheckpointError::TooLarge(limit)))
            }
            Reply::Checkpoint(Err(CheckpointError::NotKept(reason))) => {
                Ok(Err(checkpoint::CheckpointError::NotKept(reason.into())))
            }
            _ => Err(mismatch("checkpoint.commit")),
        }
    }
}
