//! The same models on a GPU through `wgpu` as on the CPU: every family's tiny random model, whole, in pieces, token by
//! token and beside another; an adapter; what a pool promises.
//!
//! It needs an adapter, real or in software, and fails where there is none: `cargo xtask test` provides Mesa's
//! `llvmpipe`. Chunks are chosen so that few shapes come up, since each compiles programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it says where it ran, and how far off it was")]

#[path = "../src/gguf/sample.rs"]
#[allow(dead_code, reason = "written for the unit tests, which need more of it")]
mod gguf_sample;
#[path = "../src/model/golden.rs"]
#[allow(dead_code, reason = "written for the unit tests, which need more of it")]
mod golden;
#[path = "../src/model/paging.rs"]
#[allow(dead_code, reason = "written for the unit tests, which need more of it")]
mod paging;
#[path = "../src/safetensors/sample.rs"]
#[allow(dead_code, reason = "written for the unit tests, which need more of it")]
mod safetensors_sample;

/// Where the files above look for what they use.
mod gguf {
    pub(crate) use crate::gguf_sample as sample;
    pub(crate) use remit_inference::gguf::Gguf;
}
mod model {
    pub(crate) use remit_inference::model::{Adapter, BLOCK_TOKENS, Decoder, Pool, Span};
}
mod safetensors {
    pub(crate) use crate::safetensors_sample as sample;
    pub(crate) use remit_inference::safetensors::Safetensors;
}
mod sampler {
    pub(crate) use remit_inference::sampler::SplitMix64;
}
mod tokenizer {
    /// As GPT-2 writes a byte: those that cannot be seen come behind the others.
    pub(crate) fn byte_character(byte: u8) -> char {
        let is_plain = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let others = (0..byte).filter(|byte| !is_plain(*byte)).count() as u32;
        if is_plain(byte) { char::from(byte) } else { char::from_u32(256 + others).unwrap() }
    }
}

use burn::tensor::Device;
use gguf_sample as sample;
use golden::{config, distance, gguf_with, golden, metadata, tokens};
use paging::Sequences;
use remit_abi::{Params, Priority, TenantId};
use remit_compute::{Isa, Team};
use remit_inference::{
    DeviceChoice, Limits, LocalEngine, ModelFile, Residency,
    model::{Adapter, Decoder, PoolError, Split},
};
use remit_kernel::ports::{Engine, EngineEvent, EngineFinish, GenerationJob};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

/// Largest difference of a logit from the CPU's, over the largest logit of its position. Both compute in f32, with other
/// orders of addition and other approximations of exponentials and roots.
const TOLERANCE: f32 = 1e-3;

fn adapter_device() -> Device {
    let opened = DeviceChoice::Wgpu.open().unwrap_or_else(|error| {
        panic!("{error}. `cargo xtask test` provides a software adapter, and this test fails without any")
    });
    println!("{}", opened.name());
    opened.tensors().clone()
}

/// Who computes what is the CPU's of a model that is split.
fn team() -> Arc<Team> {
    Arc::new(Team::new(2, Isa::best()).unwrap())
}

/// A case's model from either format.
fn decoders(case: &Value, device: &Device) -> Vec<Decoder> {
    let json = Decoder::from_json(config(case), &golden::safetensors(case), device).unwrap();
    let gguf = case["gguf"].is_object().then(|| Decoder::load(&gguf_with(case, metadata(case)), device).unwrap());
    [json].into_iter().chain(gguf).collect()
}

/// The logits of these sequences behind each chunk; every one is computed in the same chunks.
fn logits_of(sequences: &mut Sequences<'_>, texts: &[Vec<u32>], chunks: &[usize]) -> Vec<Vec<f32>> {
    let mut found = Vec::new();
    for chunk in chunks.iter().copied().cycle() {
        let work = texts.iter().enumerate().map(|(index, tokens)| {
            let known = sequences.all[index].known;
            (index, &tokens[known..tokens.len().min(known + chunk)], 1)
        });
        let work: Vec<_> = work.filter(|(_, tokens, _)| !tokens.is_empty()).collect();
        if work.is_empty() {
            return found;
        }
        found.extend(sequences.step(&work));
    }
    found
}

/// The same of new sequences.
fn logits(decoder: &Decoder, texts: &[Vec<u32>], chunks: &[usize]) -> Vec<Vec<f32>> {
    logits_of(&mut Sequences::new(decoder, &texts.iter().map(Vec::len).collect::<Vec<_>>()), texts, chunks)
}

/// The largest difference, where both compute the same.
fn worst(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert!(!found.is_empty());
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| distance(found, expected)).fold(0.0, f32::max)
}

/// A family's models on the device give the CPU's logits however the tokens come.
fn check(family: &str, cases: &[usize]) {
    let device = adapter_device();
    let golden = golden(family);
    for case in cases {
        let case = &golden["cases"][*case];
        let begin = Instant::now();
        let tokens = tokens(case);
        let reversed: Vec<u32> = tokens.iter().rev().copied().collect();
        let mut largest = 0.0f32;
        for (on_device, on_cpu) in decoders(case, &device).iter().zip(decoders(case, &Device::flex())) {
            let mut compare = |what: &str, sequences: &[Vec<u32>], chunks: &[usize]| {
                let of = |decoder: &Decoder| logits(decoder, sequences, chunks);
                let difference = worst(&of(on_device), &of(&on_cpu));
                assert!(difference <= TOLERANCE, "{family}, {}, {what}: {difference:.1e}", case["name"]);
                largest = largest.max(difference);
            };
            let alone = [tokens.clone()];
            compare("whole", &alone, &[tokens.len()]);
            compare("pieces", &alone, &[5, 13, 9]);
            compare("token by token", &alone, &[1]);
            compare("two side by side", &[tokens.clone(), reversed.clone()], &[7, 16, 1, 1, 15]);
        }
        println!("{family}, {}: {largest:.1e}, {:.1} s", case["name"], begin.elapsed().as_secs_f64());
    }
}

#[test]
fn llama_is_the_same() {
    check("llama", &[0]);
}

#[test]
fn mistral_is_the_same() {
    check("mistral", &[0]);
}

#[test]
fn qwen2_is_the_same() {
    check("qwen2", &[0]);
}

#[test]
fn qwen3_is_the_same() {
    check("qwen3", &[0]);
}

#[test]
fn qwen3_with_experts_is_the_same() {
    check("qwen3_moe", &[0]);
}

#[test]
fn gemma2_is_the_same() {
    check("gemma2", &[0]);
}

#[test]
fn gemma3_is_the_same() {
    check("gemma3", &[0]);
}

#[test]
fn phi3_is_the_same() {
    check("phi3", &[0, 1]);
}

/// The same where the first layers are the CPU's, whose keys and values have 16 bits.
const SPLIT_TOLERANCE: f32 = 5e-3;

/// With the first layers on the CPU, a block's keys and values lie on both.
#[test]
fn a_model_split_between_both_is_the_same() {
    let device = adapter_device();
    for family in ["llama", "gemma2", "qwen3_moe"] {
        let case = &golden(family)["cases"][0];
        let on = |split: Split| Decoder::from_json(config(case), &golden::safetensors(case), split).unwrap();
        let sequences = [tokens(case), tokens(case).into_iter().rev().collect()];
        let chunks = [7, 16, 1, 1, 15];
        let of = |decoder: &Decoder| logits(decoder, &sequences, &chunks);
        let whole = of(&on(Split::from(&Device::flex())));
        let split = on(Split::new(&device, 1, &team()));
        let difference = worst(&of(&split), &whole);
        println!("{family}: {difference:.1e}");
        assert!(difference <= SPLIT_TOLERANCE, "{family}: {difference:.1e}");
        paging::check(&split, &same);
    }
}

/// As near as two ways to compute the same on a device.
fn same(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    let difference = worst(found, expected);
    assert!(difference <= TOLERANCE, "{what}: {difference:.1e}");
}

/// In any blocks, behind another's prefix, behind a copy: with windows, and with norms of heads.
#[test]
fn a_pool_keeps_what_it_promises() {
    let device = adapter_device();
    for family in ["qwen3", "gemma2"] {
        paging::check(&decoders(&golden(family)["cases"][0], &device).remove(0), &same);
    }
}

/// Numbers as a GGUF file stores them in a type: BF16, F16, Q8_0, Q4_0 or Q4_1.
fn stored(kind: u32, numbers: &[f32]) -> Vec<u8> {
    let half = |number: f32| half::f16::from_f32(number).to_le_bytes();
    let most = |group: &[f32]| group.iter().fold(1e-3f32, |most, number| most.max(number.abs()));
    // Two numbers a byte: the first half of a group in the lower bits.
    let nibbles = |group: &[f32], nibble: &dyn Fn(f32) -> u8| -> Vec<u8> {
        group[..16].iter().zip(&group[16..]).map(|(low, high)| nibble(*low) | nibble(*high) << 4).collect()
    };
    let group = |group: &[f32]| -> Vec<u8> {
        let most = most(group);
        match kind {
            8 => {
                let quants = group.iter().map(|number| (number / most * 127.0).round() as i8 as u8);
                half(most / 127.0).into_iter().chain(quants).collect()
            }
            2 => {
                let nibble = |number: f32| (number / most * 7.0 + 8.0).round() as u8;
                [&half(most / 7.0)[..], &nibbles(group, &nibble)].concat()
            }
            _ => {
                let nibble = |number: f32| ((number + most) / (2.0 * most) * 15.0).round() as u8;
                [&half(2.0 * most / 15.0)[..], &half(-most), &nibbles(group, &nibble)].concat()
            }
        }
    };
    match kind {
        30 => numbers.iter().flat_map(|number| ((number.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        1 => numbers.iter().flat_map(|number| half(*number)).collect(),
        _ => numbers.chunks_exact(32).flat_map(group).collect(),
    }
}

/// The case's GGUF file with its matrices in one type after the other, so that fused ones have several.
fn narrow(case: &Value) -> gguf::Gguf {
    let writer = metadata(case)
        .iter()
        .fold(gguf_sample::Writer::new(), |writer, (key, value)| golden::entry(writer, key, value));
    let kinds = [2, 30, 8, 1, 3];
    let tensors = case["gguf"]["tensors"].as_array().unwrap().iter().map(golden::tensor).enumerate();
    let writer = tensors.fold(writer, |writer, (index, (name, shape, numbers))| {
        let dimensions: Vec<u64> = shape.iter().rev().map(|size| *size as u64).collect();
        let kind = match shape.as_slice() {
            [_, inputs] if inputs % 32 == 0 => kinds[index % kinds.len()],
            [_, _] => 30,
            _ => return writer.tensor(name, &dimensions, 0, &safetensors_sample::bytes(&numbers)),
        };
        writer.tensor(name, &dimensions, kind, &stored(kind, &numbers))
    });
    gguf::Gguf::from_bytes(writer.finish()).unwrap()
}

/// Weights stay as narrow as they are, and mean the same numbers as on the CPU.
#[test]
fn narrow_weights_are_the_same() {
    let device = adapter_device();
    for family in ["llama", "qwen3", "gemma2"] {
        let case = &golden(family)["cases"][0];
        let sequences = [tokens(case)];
        let [on_device, on_cpu] =
            [&device, &Device::flex()].map(|device| Decoder::load(&narrow(case), device).unwrap());
        assert!(on_device.step_bytes() * 2 < on_cpu.step_bytes(), "{} bytes", on_device.step_bytes());
        for chunk in [1, 20] {
            let of = |decoder: &Decoder| logits(decoder, &sequences, &[chunk]);
            let difference = worst(&of(&on_device), &of(&on_cpu));
            println!("{family}, chunks of {chunk}: {difference:.1e}");
            assert!(difference <= TOLERANCE, "{family}, chunks of {chunk}: {difference:.1e}");
        }
    }
}

/// Only tokens leave the device, and they are those of the largest logits.
#[test]
fn greedy_tokens_are_the_largest_logits() {
    let device = adapter_device();
    let case = &golden("llama")["cases"][0];
    let decoder = decoders(case, &device).remove(0);
    let (tokens, others) = (tokens(case), tokens(case).into_iter().rev().collect::<Vec<_>>());
    let work = [(0, &tokens[..], 2), (1, &others[..], 0), (2, &others[..], 1)];
    let fresh = || Sequences::new(&decoder, &[tokens.len(); 3]);
    let found = fresh().greedy(&work);
    assert_eq!(found.len(), 3);
    let logits = fresh().step(&work);
    assert_eq!(found, logits.iter().map(|logits| remit_inference::sampler::argmax(logits)).collect::<Vec<_>>());
}

#[test]
fn an_adapter_changes_its_own_sequence_alike() {
    let device = adapter_device();
    let case = &golden("adapters")["cases"][0];
    let sequences = [tokens(case), tokens(case)];
    let of = |split: Split| {
        let decoder = Decoder::from_json(config(case), &golden::safetensors(case), split.clone()).unwrap();
        let file = json!({ "json": case["adapter"] });
        let settings = case["adapter"]["config"].as_object().unwrap();
        let (tensors, architecture) = (golden::safetensors(&file), decoder.architecture());
        // On a thread of its own, as an engine's callers do.
        let load = || Adapter::load(settings, &tensors, architecture, split).unwrap();
        let adapter = std::thread::scope(|scope| scope.spawn(load).join().unwrap());
        let mut both = Sequences::new(&decoder, &[sequences[0].len(); 2]);
        both.all[0].adapter = Some(Arc::new(adapter));
        logits_of(&mut both, &sequences, &[7, 16, 1])
    };
    let expected = of(Split::from(&Device::flex()));
    assert!(distance(&expected[0], &expected[1]) > 0.01, "it changes something");
    for host_layers in [0, 1] {
        let difference = worst(&of(Split::new(&device, host_layers, &team())), &expected);
        let tolerance = if host_layers == 0 { TOLERANCE } else { SPLIT_TOLERANCE };
        assert!(difference <= tolerance, "{difference:.1e}, {host_layers} layers on the CPU");
    }
}

/// What was computed before a loss is gone, what comes after fails, and a new opening knows nothing of it.
#[test]
fn a_lost_device_is_replaced_by_opening_another() {
    let case = &golden("qwen2")["cases"][0];
    let sequences = [tokens(case)];
    let compute = |device: &Device| {
        let decoder = decoders(case, device).remove(0);
        logits(&decoder, &sequences, &[32])
    };
    let [first, second] = [(); 2].map(|()| DeviceChoice::Wgpu.open().unwrap());
    let whole = compute(first.tensors());
    assert!(first.lose());
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compute(first.tensors())));
    assert!(lost.is_err(), "nothing is computed on a lost device");
    for device in [second, DeviceChoice::Wgpu.open().unwrap()] {
        assert_eq!(compute(device.tensors()), whole);
    }
}

/// A whole engine goes on after a loss: no generation notices but by the time, and nothing is counted twice.
#[test]
fn generations_go_on_after_a_lost_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, sample::model().finish()).unwrap();
    let file = ModelFile { name: "m".into(), path, digest: "0".into() };
    let limits = Limits { device: DeviceChoice::Wgpu, ..Limits::default() };
    let engine = LocalEngine::load(&[file], limits).unwrap();
    let params = Params { logit_bias: vec![(sample::END, Params::BIAS_NEVER)], ..Params::greedy(60) };
    let mut streams = [20u32, 45].map(|length| {
        let (model, prompt) = ("m".into(), (0..length).map(|place| place * 37 % 256).collect());
        engine
            .generate(GenerationJob {
                tenant: TenantId(length),
                program: 1,
                priority: Priority::Normal,
                model,
                prompt,
                params: params.clone(),
                tools: None,
            })
            .unwrap()
    });
    assert!(matches!(streams[1].events.blocking_recv(), Some(EngineEvent::Text(_))));
    engine.drill();
    for (stream, length) in streams.iter_mut().zip([20, 45]) {
        let last = std::iter::from_fn(|| stream.events.blocking_recv()).last();
        assert_eq!(last, Some(EngineEvent::End(EngineFinish::Length)));
        let usage = stream.meter.usage();
        assert_eq!((usage.input, usage.cached, usage.output), (length, 0, 60));
    }
    println!("computing again after a lost device: {:.2} s", engine.last_rebuild().unwrap().as_secs_f64());
    assert_eq!(engine.rebuilds(), 1);
}

/// Engines of one node plan with what the others leave of a stated limit, and give back what they had.
#[test]
fn engines_share_a_devices_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, sample::model().finish()).unwrap();
    let load = |residency: &Arc<Residency>, device_bytes: Option<u64>| {
        let file = ModelFile { name: "m".into(), path: path.clone(), digest: "0".into() };
        let limits = Limits { device: DeviceChoice::Wgpu, device_bytes, kv_tokens_max: 256, ..Limits::default() };
        let engine = LocalEngine::open(&[file], limits, residency).unwrap();
        engine.warm().unwrap();
        engine
    };
    let taken = |residency: &Residency| residency.view().devices.iter().map(|(_, bytes)| *bytes).sum::<u64>();
    let residency = Residency::unlimited();
    let whole = {
        let _engine = load(&residency, None);
        taken(&residency)
    };
    assert!(whole > 0 && taken(&residency) == 0);
    let text = |engine: &LocalEngine| {
        let job = GenerationJob {
            tenant: TenantId(0),
            program: 1,
            priority: Priority::Normal,
            model: "m".into(),
            prompt: (0..20).map(|place| place * 37 % 256).collect(),
            params: Params::greedy(12),
            tools: None,
        };
        let mut stream = engine.generate(job).unwrap();
        let mut text = String::new();
        while let Some(event) = stream.events.blocking_recv() {
            match event {
                EngineEvent::Text(part) => text.push_str(&part),
                EngineEvent::End(finish) => {
                    assert_eq!(finish, EngineFinish::Length);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        text
    };
    // Beside a first one there is room for all but one layer of a second, and then for nothing.
    let limit = 2 * whole - 1;
    let engines = [(); 3].map(|()| load(&residency, Some(limit)));
    let held = taken(&residency);
    assert!(held > whole && held <= limit, "{held} of {limit}");
    let texts = engines.each_ref().map(text);
    assert!(!texts[0].is_empty());
    drop(engines);
    assert_eq!(taken(&residency), 0);
}

/// A layer's keys are one buffer, and no program sees more of a device's memory at once than there is of it.
#[test]
fn a_pool_beyond_a_devices_buffers_is_refused() {
    let decoder = decoders(&golden("llama")["cases"][0], &adapter_device()).remove(0);
    let refused = decoder.pool(1 << 26).map(drop).unwrap_err();
    assert!(matches!(refused, PoolError::Device { .. }), "{refused}");
    assert!(refused.to_string().contains("and the device's programs see"), "{refused}");
    decoder.pool(64).unwrap();
}
