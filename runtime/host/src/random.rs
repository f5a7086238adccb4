//! `wasi:random`, over the kernel's entropy, so that a replay draws the same.
//!
//! The interfaces called insecure are as good as the secure one: there is one source.

use crate::{
    bindings::wasi::random::{insecure, insecure_seed, random},
    guest::{Guest, Halt, mismatch},
};
use remit_abi::{Fault, RandomReply, RandomRequest, Reply, Request, limits::RANDOM_BYTES_MAX};
use wasmtime::Result;

impl Guest {
    fn random_bytes(&self, length: u64) -> Result<Vec<u8>> {
        // WASI gives this no error, and a shorter answer would be taken for a full one.
        let length = u32::try_from(length).ok().filter(|&length| length <= RANDOM_BYTES_MAX).ok_or_else(|| {
            wasmtime::Error::new(Halt(Fault::Limit(
                format!("one call draws at most {RANDOM_BYTES_MAX} random bytes, not {length}: draw them in parts")
                    .into(),
            )))
        })?;
        match self.call(&Request::Random(RandomRequest::Bytes { length }))? {
            Reply::Random(RandomReply::Bytes(bytes)) if bytes.len() == length as usize => Ok(bytes.into()),
            _ => Err(mismatch("random")),
        }
    }

    fn random_u64(&self) -> Result<u64> {
        let bytes = self.random_bytes(8)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| mismatch("random"))
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}
