//! Our envelopes before the libraries of in-toto, and theirs before our policies.

use super::python::{Bench, Suite};
use anyhow::Result;

const SUITE: Suite = Suite {
    name: "suite intoto",
    whose: "in-toto",
    // The newest of 2026-11-23. `cryptography` comes with an OpenSSL of its own, which reads our secret keys.
    libraries: &["securesystemslib==1.6.0", "in-toto-attestation==0.9.3", "cryptography"],
    script: include_str!("intoto.py"),
    example: "notary",
};

/// Ways to spoil an envelope of theirs, and what our policy says of each.
const SPOILT: [(&str, &str); 5] = [
    ("statement", "FAILED signers"),
    ("type", "FAILED envelope"),
    ("signature", "FAILED signers"),
    ("twice", "FAILED envelope"),
    ("swapped", "FAILED signers"),
];

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    SUITE.run(see)
}

fn see(bench: &Bench) -> Result<()> {
    // Their libraries read what we made.
    let ids = bench.make()?;
    bench.have("read", &ids.split_whitespace().collect::<Vec<_>>())?;
    // We read what their libraries made, and refuse what was spoilt.
    bench.have("write", &[])?;
    bench.is_taken("an envelope of theirs with two signatures is accepted")?;
    for (way, expected) in SPOILT {
        bench.have("spoil", &[way])?;
        bench.is_refused(way, expected)?;
    }
    Ok(())
}
