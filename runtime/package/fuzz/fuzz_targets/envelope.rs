//! Reads an envelope and the statement in it. What was read is written and read again as the same.

#![no_main]

use remit_package::{Envelope, Statement};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
    let Ok(statement) = Statement::parse(envelope.payload()) else { return };
    assert_eq!(Statement::parse(&statement.to_json()).as_ref(), Ok(&statement));
});
