//! Our bundles before Sigstore's own library for Python, and what that library writes before our policies.
//!
//! Nothing is signed by a public instance: the bundles are of the tests' own one, whose trust root both sides are given.

use super::python::{Bench, Suite};
use anyhow::Result;

const SUITE: Suite = Suite {
    name: "suite sigstore",
    whose: "Sigstore",
    // The newest of 2026-11-23.
    libraries: &["sigstore==4.5.1", "cryptography"],
    script: include_str!("sigstore.py"),
    example: "voucher",
};

/// Ways to spoil a bundle, each of which both sides refuse.
const SPOILT: [&str; 8] =
    ["statement", "signature", "certificate", "promise", "time", "proof", "checkpoint", "unlogged"];

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    SUITE.run(see)
}

fn see(bench: &Bench) -> Result<()> {
    let said = bench.make()?;
    let identity: Vec<&str> = said.split_whitespace().collect();
    bench.have("read", &identity)?;
    bench.is_taken("as their library writes it, our policy takes it")?;
    for way in SPOILT {
        bench.have("spoil", &[&[way], identity.as_slice()].concat())?;
        bench.is_refused(way, "FAILED identity")?;
    }
    Ok(())
}
