//! Compiles a chat template and renders it.

#![no_main]

use remit_abi::Role;
use remit_inference::template::ChatTemplate;

libfuzzer_sys::fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, Some("<s>"), Some("</s>")) else { return };
    let messages = [(Role::User, "Hi {{ x }}".to_owned()), (Role::Assistant, "é".to_owned())];
    let _ = template.render(&messages);
});
