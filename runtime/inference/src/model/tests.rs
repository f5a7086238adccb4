//! The decoder on a tiny random model: shapes are checked, and how a prompt is cut does not change what it gives.

use super::*;
use crate::{
    gguf::{Gguf, sample},
    sampler::argmax,
};
use burn::tensor::{Device, Tensor, TensorData};
use linear::Linear;
use paging::Sequences;

fn decoder() -> Decoder {
    Decoder::load(&Gguf::from_bytes(sample::model().finish()).unwrap(), &Device::flex()).unwrap()
}

fn prompt(length: usize) -> Vec<u32> {
    (0..length).map(|index| (index * 89 % 256) as u32).collect()
}

/// The logits after the last token, where the prompt is computed in chunks of these sizes.
fn logits(decoder: &Decoder, tokens: &[u32], chunks: &[usize]) -> Vec<f32> {
    Sequences::new(decoder, &[tokens.len()]).run(0, tokens, chunks).pop().unwrap()
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
    let whole = logits(&decoder, &tokens, &[]);
    assert!(whole.iter().all(|logit| logit.is_finite()));
    for chunks in [&[1; 99][..], &[7; 12], &[8; 11], &[9; 10], &[15, 17, 33], &[64]] {
        assert_close(&logits(&decoder, &tokens, chunks), &whole);
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
    let mut sequences = Sequences::new(&decoder, &[32; 8]);
    let each = |sequences: &mut Sequences<'_>| {
        prompts.iter().enumerate().for_each(|(index, tokens)| drop(sequences.step(&[(index, tokens, 0)])));
    };
    each(&mut sequences);
    let alone: Vec<_> = (0..8).flat_map(|index| sequences.step(&[(index, &[42], 1)])).collect();
    let mut sequences = Sequences::new(&decoder, &[32; 8]);
    each(&mut sequences);
    let beside: Vec<_> = (0..8).map(|index| (index, &[42][..], 1)).collect();
    assert_eq!(sequences.step(&beside), alone);
}

#[test]
fn a_pool_keeps_what_it_promises() {
    let same = |what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]| assert_eq!(found, expected, "{what}");
    paging::check(&decoder(), &same);
}

#[test]
fn greedy_tokens_are_those_of_the_largest_logits() {
    let decoder = decoder();
    let tokens = prompt(12);
    let work = [(0, &tokens[..], 3), (1, &tokens[..5], 0), (2, &tokens[5..], 1)];
    let fresh = || Sequences::new(&decoder, &[12; 3]);
    let logits = fresh().step(&work);
    assert_eq!(fresh().greedy(&work), logits.iter().map(|logits| argmax(logits)).collect::<Vec<_>>());
}

#[test]
fn a_span_that_does_not_fit_its_pool_is_refused() {
    let decoder = decoder();
    let check = |span: Span<'_>, expect: &str| {
        let mut pool = decoder.pool(2).unwrap();
        let forward = std::panic::AssertUnwindSafe(|| decoder.forward(&mut pool, &[span]));
        let panic = std::panic::catch_unwind(forward).unwrap_err();
        let sentence = panic.downcast_ref::<String>().unwrap();
        assert!(sentence.contains(expect), "{sentence}");
    };
    let tokens = prompt(5);
    let fits = Span { tokens: &tokens, table: &[1], known: 11, room: 40, adapter: None, logits: 5 };
    assert_eq!(decoder.forward(&mut decoder.pool(2).unwrap(), &[fits]).len(), 5 * decoder.architecture().vocabulary);
    check(Span { known: 12, ..fits }, "17 tokens in 1 blocks");
    check(Span { table: &[1, 2], ..fits }, "a sequence's blocks are of the pool, which has 2");
    check(Span { logits: 6, ..fits }, "6 logits of 5 new tokens");
    check(Span { tokens: &[], logits: 0, ..fits }, "0 logits of 0 new tokens");
}

#[test]
fn positions_and_order_matter() {
    let decoder = decoder();
    let of = |tokens: &[u32]| logits(&decoder, tokens, &[]);
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
