//! Reads every tensor of a safetensors file.

#![no_main]

use remit_inference::safetensors::Safetensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Safetensors::from_bytes(bytes.to_vec()) else { return };
    for name in file.tensor_names() {
        let _ = file.read_f32(name, &mut Vec::new());
    }
});
