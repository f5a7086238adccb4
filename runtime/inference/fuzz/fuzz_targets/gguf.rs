//! Reads every value and every tensor of a GGUF file.

#![no_main]

use remit_inference::gguf::Gguf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::from_bytes(bytes.to_vec()) else { return };
    for key in ["general.alignment", "general.name", "tokenizer.ggml.tokens"] {
        let _ = (file.get_u32(key), file.get_f32(key), file.get_bool(key), file.get_str(key).map(str::len));
        let _ = (file.get_strings(key).map(drop), file.get_i32s(key).map(drop));
    }
    for name in file.tensor_names() {
        let _ = file.dequantize(name, &mut Vec::new());
    }
});
