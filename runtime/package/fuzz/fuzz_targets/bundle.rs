//! Reads a file of bundles. What was read is written and read again as the same; and each is verified by a trust root.

#![no_main]

use remit_package::{Bundle, TrustRoot};
use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
use std::sync::LazyLock;

static ROOT: LazyLock<TrustRoot> =
    LazyLock::new(|| TrustRoot::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).expect("it is a trust root"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(bundles) = Bundle::parse_all(bytes) else { return };
    let again = Bundle::parse_all(Bundle::lines(&bundles).as_bytes());
    assert_eq!(again.as_ref().map(Vec::len), Ok(bundles.len()));
    for bundle in &bundles {
        let _ = ROOT.verify(bundle, bundle.claimed(), &[7; 32]);
    }
});
