//! Every family as the CPU computes it, against `transformers` on tiny random models (see `tests/goldens/families.py`), from both
//! formats; and the same bits however a prompt is cut, wherever its blocks are, beside whom, and on how many threads.

use super::*;
use crate::model::{
    BLOCK_TOKENS, Decoder, Split,
    golden::{config, distance, floats, gguf_with, golden, metadata, safetensors, sizes, tokens},
    paging::{self, Sequences},
};
use burn::tensor::Device;
use remit_compute::Isa;
use serde_json::Value;
use std::sync::Arc;

/// Largest difference of a logit, over the largest logit of its position: keys and values have 16 bits, weights are f32.
const TOLERANCE: f32 = 5e-3;
/// Blocks of each sequence: room for the longest.
const BLOCKS: usize = 8;

/// The case's decoders, each with the logits that it should give.
fn decoders(case: &Value, team: &Team) -> Vec<(&'static str, NativeDecoder, Vec<Vec<f32>>)> {
    let expected = |format: &str| case[format]["logits"].as_array().unwrap().iter().map(floats).collect();
    let json = NativeDecoder::from_json(config(case), &safetensors(case), team).unwrap();
    let mut decoders = vec![("json", json, expected("json"))];
    if case["gguf"].is_object() {
        let gguf = NativeDecoder::load(&gguf_with(case, metadata(case)), team).unwrap();
        decoders.push(("gguf", gguf, expected("gguf")));
    }
    decoders
}

/// The logits behind each token, where the sequence is cut into these chunks and `beside` others like it are computed in the same
/// steps; all their blocks are scattered.
fn logits(decoder: &NativeDecoder, team: &Team, tokens: &[u32], chunks: &[usize], beside: usize) -> Vec<Vec<f32>> {
    let mut memory = NativeMemory::new(decoder.architecture(), BLOCKS * (beside + 1)).unwrap();
    let tables: Vec<Vec<u32>> = (0..=beside)
        .map(|index| (0..BLOCKS).rev().map(|block| (block * (beside + 1) + index) as u32).collect())
        .collect();
    let reversed: Vec<u32> = tokens.iter().rev().copied().collect();
    let own = beside / 2;
    let (mut found, mut known) = (Vec::new(), 0);
    for chunk in chunks.iter().copied().cycle() {
        let end = tokens.len().min(known + chunk);
        let span = |(index, table): (usize, &'_ Vec<u32>)| (index == own, table.clone());
        let parts: Vec<_> = tables.iter().enumerate().map(span).collect();
        let spans = parts.iter().map(|(is_own, table)| Span {
            tokens: if *is_own { &tokens[known..end] } else { &reversed[known..end] },
            table,
            known,
            room: tokens.len(),
            adapter: None,
            logits: if *is_own { end - known } else { 0 },
        });
        let logits = decoder.forward(team, &mut memory, &spans.collect::<Vec<_>>());
        found.extend(logits.chunks_exact(decoder.architecture().vocabulary).map(<[f32]>::to_vec));
        known = end;
        if known == tokens.len() {
            return found;
        }
    }
    found
}

fn check(family: &str) {
    let teams = [1, 3].map(|threads| Team::new(threads, Isa::best()).unwrap());
    let golden = golden(family);
    for case in golden["cases"].as_array().unwrap() {
        let (name, tokens, positions) = (&case["name"], tokens(case), sizes(&case["positions"]));
        assert!(tokens.len() <= BLOCKS * BLOCK_TOKENS);
        let mut worst = 0.0f32;
        for (format, decoder, expected) in decoders(case, &teams[0]) {
            let whole = logits(&decoder, &teams[0], &tokens, &[tokens.len()], 0);
            assert_eq!((whole.len(), positions.len()), (tokens.len(), expected.len()));
            for (position, expected) in positions.iter().zip(&expected) {
                let distance = distance(&whole[*position], expected);
                worst = worst.max(distance);
                assert!(distance <= TOLERANCE, "{family}, {name}, {format}, at {position}: {distance:.1e}");
            }
            for (chunks, beside) in [(&[1][..], 0), (&[20], 0), (&[8, 13, 9, 10], 1), (&[3, 5, 16, 1], 2), (&[1], 4)] {
                let again = logits(&decoder, &teams[1], &tokens, chunks, beside);
                assert!(again == whole, "{family}, {name}, {format}, cut as {chunks:?} beside {beside}");
            }
        }
        println!("{family}, {name}: {worst:.1e}");
    }
}

#[test]
fn every_family_is_the_references_and_the_same_bits_in_any_step() {
    for family in ["llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3", "phi3"] {
        check(family);
    }
}

/// The first layers natively, the others and the output by the plain path, which stands for a GPU here.
#[test]
fn a_model_that_is_split_is_near_the_references() {
    let team = Arc::new(Team::new(2, Isa::best()).unwrap());
    for family in ["llama", "gemma2", "qwen3_moe"] {
        let golden = golden(family);
        let case = &golden["cases"][0];
        let (tokens, positions) = (tokens(case), sizes(&case["positions"]));
        let split = Split::new(&Device::flex(), 1, &team);
        let decoder = Decoder::from_json(config(case), &safetensors(case), split).unwrap();
        let expected: Vec<Vec<f32>> = case["json"]["logits"].as_array().unwrap().iter().map(floats).collect();
        for chunks in [vec![1; tokens.len()], vec![5, 13, 9]] {
            let found = Sequences::new(&decoder, &[tokens.len()]).run(0, &tokens, &chunks);
            let mut end = 0;
            let ends = chunks.iter().copied().chain([tokens.len()]).map(|chunk| {
                end = tokens.len().min(end + chunk);
                end - 1
            });
            let ends: Vec<usize> = ends.take(found.len()).collect();
            for (position, expected) in positions.iter().zip(&expected) {
                let Some(place) = ends.iter().position(|end| end == position) else { continue };
                let distance = distance(&found[place], expected);
                assert!(distance <= TOLERANCE, "{family}, at {position}: {distance:.1e}");
            }
            assert!(ends.contains(positions.last().unwrap()), "the last one is compared");
        }
        let same = |what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]| {
            assert_eq!(found.len(), expected.len());
            let worst = found.iter().zip(expected).map(|(found, expected)| distance(found, expected));
            let worst = worst.fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{family}, {what}: {worst:.1e}");
        };
        paging::check(&decoder, &same);
    }
}
