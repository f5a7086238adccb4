//! Reads a package. Whatever is one would be made of its parts again, byte by byte.

#![no_main]

use remit_package::{Packed, Parts};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(packed) = Packed::read(bytes) else { return };
    let assets = packed.assets().iter().map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
    let parts = Parts {
        component: packed.component(),
        manifest: packed.manifest_text(),
        assets: &assets,
        build: packed.build(),
        sbom: packed.sbom(),
    };
    assert_eq!(Packed::make(&parts).ok().as_deref(), Some(bytes));
});
