//! Writes small GGUF files for tests: whole models with a byte-level vocabulary, and broken files.

/// A GGUF file in the making. Every part can be given wrong.
pub(crate) struct Writer {
    entries: Vec<u8>,
    entry_count: u64,
    directory: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

pub(crate) const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
pub(crate) const F32: u32 = 6;
pub(crate) const STRING: u32 = 8;
pub(crate) const ARRAY: u32 = 9;

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), entry_count: 0, directory: Vec::new(), tensor_count: 0, data: Vec::new() }
    }

    pub(crate) fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.extend(string(key));
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(value);
        self.entry_count += 1;
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.entry(key, U32, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.entry(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.entry(key, 7, &[value.into()])
    }

    pub(crate) fn str(self, key: &str, value: &str) -> Self {
        self.entry(key, STRING, &string(value))
    }

    pub(crate) fn array(self, key: &str, kind: u32, values: &[Vec<u8>]) -> Self {
        let head = [&kind.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        self.entry(key, ARRAY, &[head, values.concat()].concat())
    }

    /// A tensor with its bytes, placed behind those before it.
    pub(crate) fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, bytes: &[u8]) -> Self {
        let offset = self.data.len() as u64;
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.stated(name, dimensions, kind, offset)
    }

    /// A tensor as the directory states it, whatever the data.
    pub(crate) fn stated(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.directory.extend(string(name));
        self.directory.extend((dimensions.len() as u32).to_le_bytes());
        self.directory.extend(dimensions.iter().flat_map(|size| size.to_le_bytes()));
        self.directory.extend(kind.to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.entry_count.to_le_bytes());
        file.extend(self.entries);
        file.extend(self.directory);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

/// The text of each token of [`model`]: 256 bytes as GPT-2 writes them, two merges, three control tokens.
pub(crate) fn vocabulary() -> (Vec<String>, Vec<&'static str>) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| crate::tokenizer::byte_character(byte).to_string()).collect();
    tokens.extend(["he", "hel", "<|start|>", "<|end|>", "<|bos|>"].map(String::from));
    (tokens, vec!["h e", "he l"])
}

/// The control token that ends a turn in [`model`].
pub(crate) const END: u32 = 259;

/// The chat template of [`model`].
pub(crate) const TEMPLATE: &str = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content | trim }}<|end|>{% endfor %}\
                                   {% if add_generation_prompt %}<|start|>assistant\n{% endif %}";

/// A tokenizer's metadata over [`vocabulary`].
pub(crate) fn with_tokenizer(writer: Writer) -> Writer {
    with_template(writer, TEMPLATE)
}

/// The same with another template.
pub(crate) fn with_template(writer: Writer, template: &str) -> Writer {
    let (tokens, merges) = vocabulary();
    let kinds = (0..tokens.len()).map(|id| if id < 258 { 1i32 } else { 3 }.to_le_bytes().to_vec());
    writer
        .str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", "smollm")
        .array("tokenizer.ggml.tokens", STRING, &tokens.iter().map(|token| string(token)).collect::<Vec<_>>())
        .array("tokenizer.ggml.merges", STRING, &merges.iter().map(|merge| string(merge)).collect::<Vec<_>>())
        .array("tokenizer.ggml.token_type", I32, &kinds.collect::<Vec<_>>())
        .u32("tokenizer.ggml.bos_token_id", 260)
        .u32("tokenizer.ggml.eos_token_id", END)
        .bool("tokenizer.ggml.add_bos_token", false)
        .str("tokenizer.chat_template", template)
}

/// Deterministic numbers in [-1, 1).
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = crate::sampler::SplitMix64::new(seed);
    (0..count).map(|_| (random.next_unit() * 2.0 - 1.0) as f32).collect()
}

fn floats(seed: u64, count: usize, scale: f32, shift: f32) -> Vec<u8> {
    numbers(seed, count).into_iter().flat_map(|value| (value * scale + shift).to_le_bytes()).collect()
}

/// A llama of two layers, 32 wide, four heads on two, with random weights and the vocabulary above.
pub(crate) fn model() -> Writer {
    model_with(0.0)
}

/// The same, with a number added to the output norm.
pub(crate) fn model_with(shift: f32) -> Writer {
    let mut writer = with_tokenizer(Writer::new())
        .str("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .u32("llama.context_length", 256)
        .u32("llama.embedding_length", 32)
        .u32("llama.feed_forward_length", 48)
        .u32("llama.attention.head_count", 4)
        .u32("llama.attention.head_count_kv", 2)
        .u32("llama.rope.dimension_count", 8)
        .f32("llama.rope.freq_base", 10_000.0)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    let mut seed = 0;
    let mut put = |writer: Writer, name: &str, dimensions: &[u64], scale: f32, shift: f32| {
        seed += 1;
        let count = dimensions.iter().product::<u64>() as usize;
        writer.tensor(name, dimensions, 0, &floats(seed, count, scale, shift))
    };
    writer = put(writer, "token_embd.weight", &[32, 261], 1.0, 0.0);
    writer = put(writer, "output_norm.weight", &[32], 0.1, 1.0 + shift);
    for layer in 0..2 {
        for (name, dimensions) in [
            ("attn_q", [32, 32]),
            ("attn_k", [32, 16]),
            ("attn_v", [32, 16]),
            ("attn_output", [32, 32]),
            ("ffn_gate", [32, 48]),
            ("ffn_up", [32, 48]),
            ("ffn_down", [48, 32]),
        ] {
            writer = put(writer, &format!("blk.{layer}.{name}.weight"), &dimensions, 0.4, 0.0);
        }
        for name in ["attn_norm", "ffn_norm"] {
            writer = put(writer, &format!("blk.{layer}.{name}.weight"), &[32], 0.1, 1.0);
        }
    }
    writer
}
