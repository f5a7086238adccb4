//! Reads a trust policy, and what is revoked. What is revoked is written and read again as the same.

#![no_main]

use remit_package::{Policy, Revocations};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(text) else { return };
    let revoked = policy.revoked();
    assert_eq!(Revocations::parse(&revoked.to_toml()).as_ref(), Ok(revoked));
});
