//! The decoder on a tiny random model: shapes are checked, and how a prompt is cut does not change what it gives.

use super::*;
use crate::gguf::{Gguf, sample};
use burn::tensor::{Device, Tensor, TensorData};
use linear::Linear;

fn decoder() -> Decoder {
    Decoder::load(&Gguf::from_bytes(sample::model().finish()).unwrap(), &Device::flex()).unwrap()
}

fn prompt(length: usize) -> Vec<u32> {
    (0..length).map(|index| (index * 89 % 256) as u32).collect()
}

/// The logits after the last token, where the prompt is computed in chunks of these sizes.
fn logits(decoder: &Decoder, cache: &mut KvCache, tokens: &[u32], chunks: &[usize]) -> Vec<f32> {
    let mut rest = &tokens[cache.length()..];
    for chunk in chunks.iter().copied().chain([usize::MAX]) {
        let (tokens, after) = rest.split_at(chunk.min(rest.len()));
        rest = after;
        let logits = decoder.forward(&mut [Span { tokens, cache, wants_logits: rest.is_empty() }]);
        if rest.is_empty() {
            return logits;
        }
    }
    unreachable!("the last chunk takes all")
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let difference = a.iter().zip(b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= 1e-5 * scale, "{difference} of {scale}");
}

#[test]
fn chunks_do_not_matter() {
    let decoder = decoder();
    let tokens = prompt(100);
    let fresh = || KvCache::new(decoder.architecture(), 100);
    let whole = logits(&decoder, &mut fresh(), &tokens, &[]);
    assert!(whole.iter().all(|logit| logit.is_finite()));
    for chunks in [&[1; 99][..], &[7; 12], &[8; 11], &[9; 10], &[15, 17, 33], &[64]] {
        assert_close(&logits(&decoder, &mut fresh(), &tokens, chunks), &whole);
    }
}

/// The sizes of adapters' and of models' matrices: whatever chunk a row is computed in.
#[test]
fn a_row_is_the_same_bits_in_any_product_of_more_rows() {
    for (inputs, outputs) in [
        (32, 1),
        (32, 4),
        (32, 8),
        (48, 16),
        (576, 16),
        (576, 64),
        (1536, 64),
        (576, 65),
        (4, 128),
        (1, 128),
        (1000, 192),
    ] {
        let numbers = |seed, count| sample::numbers(seed, count);
        let linear = Linear::new(numbers(1, inputs * outputs), inputs, &Device::flex());
        let rows = numbers(2, 128 * inputs);
        let product = |rows: &[f32]| {
            let input = TensorData::new(rows.to_vec(), [rows.len() / inputs, inputs]);
            linear.forward(Tensor::from_data(input, &Device::flex())).into_data().try_to_vec::<f32>().unwrap()
        };
        let whole = product(&rows);
        for chunk in [9, 32, 64, 100] {
            let pieces = rows.chunks_exact(chunk * inputs).flat_map(product).collect::<Vec<_>>();
            assert!(pieces == whole[..pieces.len()], "{inputs} to {outputs} in chunks of {chunk}");
        }
    }
}

#[test]
fn neighbours_change_no_bit() {
    let decoder = decoder();
    let prompts: Vec<_> = (3..11).map(prompt).collect();
    let prefilled = |tokens: &[u32]| {
        let mut cache = KvCache::new(decoder.architecture(), 32);
        let _ = decoder.forward(&mut [Span { tokens, cache: &mut cache, wants_logits: false }]);
        cache
    };
    let next = [42u32];
    let alone: Vec<f32> = prompts
        .iter()
        .flat_map(|tokens| {
            decoder.forward(&mut [Span { tokens: &next, cache: &mut prefilled(tokens), wants_logits: true }])
        })
        .collect();
    let mut caches: Vec<_> = prompts.iter().map(|tokens| prefilled(tokens)).collect();
    let mut spans: Vec<_> = caches.iter_mut().map(|cache| Span { tokens: &next, cache, wants_logits: true }).collect();
    assert_eq!(decoder.forward(&mut spans), alone);
}

#[test]
fn a_copied_prefix_is_the_same_state() {
    let decoder = decoder();
    let tokens = prompt(60);
    let mut cache = KvCache::new(decoder.architecture(), 60);
    let whole = logits(&decoder, &mut cache, &tokens, &[40]);
    let mut copy = cache.prefix(decoder.architecture(), 40, 90);
    assert_eq!((copy.length(), copy.capacity()), (40, 90));
    assert_eq!(logits(&decoder, &mut copy, &tokens, &[]), whole);
    let mut empty = cache.prefix(decoder.architecture(), 0, 60);
    assert_eq!(logits(&decoder, &mut empty, &tokens, &[40]), whole);
}

#[test]
fn positions_and_order_matter() {
    let decoder = decoder();
    let of = |tokens: &[u32]| logits(&decoder, &mut KvCache::new(decoder.architecture(), 8), tokens, &[]);
    assert_ne!(of(&[1, 2, 3]), of(&[2, 1, 3]));
    assert_ne!(of(&[3]), of(&[3, 3]));
}

fn check(writer: sample::Writer, expect: &str) {
    let file = Gguf::from_bytes(writer.finish()).unwrap();
    let sentence = Decoder::load(&file, &Device::flex()).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

/// The sample's metadata with some entries in place of its own, and no tensors but the embedding.
fn metadata(changes: &[(&str, u32)]) -> sample::Writer {
    let base = [
        ("llama.block_count", 1),
        ("llama.context_length", 64),
        ("llama.embedding_length", 32),
        ("llama.feed_forward_length", 48),
        ("llama.attention.head_count", 4),
    ];
    let kept = base.iter().filter(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    kept.chain(changes)
        .fold(sample::Writer::new().str("general.architecture", "llama"), |writer, (key, value)| {
            writer.u32(key, *value)
        })
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .tensor("token_embd.weight", &[32, 1], 0, &[0; 128])
}

#[test]
fn refuses_what_it_cannot_compute() {
    check(sample::Writer::new(), "no metadata key general.architecture");
    check(
        sample::Writer::new().str("general.architecture", "mamba"),
        "architecture is mamba, and supported are llama, ",
    );
    check(metadata(&[("llama.block_count", 0)]), "llama.block_count is 0");
    check(metadata(&[("llama.block_count", u32::MAX)]), "llama.block_count is 4294967295 and must be 1 to 1024");
    check(metadata(&[("llama.embedding_length", 33)]), "4 heads do not divide a width of 33");
    check(metadata(&[("llama.attention.head_count_kv", 3)]), "3 key heads do not divide 4 heads");
    check(metadata(&[("llama.rope.dimension_count", 3)]), "rotary width of 3");
    check(metadata(&[("llama.rope.dimension_count", 10)]), "rotary width of 10 does not fit into heads of 8");
    check(metadata(&[("llama.expert_count", 8)]), "experts, which is not supported yet");
    check(
        metadata(&[("llama.embedding_length", 64)]),
        "token_embd.weight has the shape [1, 32] and should have [1, 64]",
    );
    check(metadata(&[]), "no tensor output_norm.weight");
    check(sample::model().str("llama.rope.scaling.type", "yarn"), "no llama.rope.scaling.factor");
    check(sample::model().tensor("blk.0.attn_q.bias", &[32], 0, &[0; 128]), "the tensor blk.0.attn_q.bias");
    check(sample::model().tensor("output.weight", &[32, 7], 0, &[0; 896]), "output.weight has the shape [7, 32]");
}
