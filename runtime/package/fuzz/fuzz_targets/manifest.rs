//! Reads a manifest, and says in plain words what it asks for.

#![no_main]

use remit_package::{Manifest, explain};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    assert!(explain(&manifest).len() >= manifest.wants.len());
});
