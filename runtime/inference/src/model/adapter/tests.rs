//! Adapters against `peft` on tiny random models (see `tests/goldens/adapters.py`), with a base from either format.

use super::*;
use crate::model::{
    Decoder,
    golden::{config, distance, floats, gguf_with, golden, metadata, safetensors, sizes, tokens},
    paging::Sequences,
};
use burn::tensor::Device;
use serde_json::json;

/// As without adapters.
const TOLERANCE: f32 = 1e-5;

fn decoders(case: &Value) -> [(&'static str, Decoder); 2] {
    let device = Device::flex();
    let json = Decoder::from_json(config(case), &safetensors(case), &device).unwrap();
    [("json", json), ("gguf", Decoder::load(&gguf_with(case, metadata(case)), &device).unwrap())]
}

fn adapter(case: &Value, decoder: &Decoder) -> Arc<Adapter> {
    let file = json!({ "json": case["adapter"] });
    let config = case["adapter"]["config"].as_object().unwrap();
    Arc::new(Adapter::load(config, &safetensors(&file), decoder.architecture(), &Device::flex()).unwrap())
}

/// The logits of each position at which a chunk of this size ends, for sequences with these adapters side by side.
fn logits(decoder: &Decoder, adapters: &[Option<&Arc<Adapter>>], tokens: &[u32], chunk: usize) -> Vec<Vec<Vec<f32>>> {
    let mut sequences = Sequences::new(decoder, &vec![tokens.len(); adapters.len()]);
    sequences.all.iter_mut().zip(adapters).for_each(|(sequence, adapter)| sequence.adapter = adapter.cloned());
    let mut found = vec![Vec::new(); adapters.len()];
    for tokens in tokens.chunks(chunk) {
        let work: Vec<_> = (0..adapters.len()).map(|index| (index, tokens, 1)).collect();
        found.iter_mut().zip(sequences.step(&work)).for_each(|(found, logits)| found.push(logits));
    }
    found
}

#[test]
fn adapted_logits_are_the_references() {
    for case in golden("adapters")["cases"].as_array().unwrap() {
        let (tokens, positions) = (tokens(case), sizes(&case["positions"]));
        for (format, decoder) in decoders(case) {
            let adapter = adapter(case, &decoder);
            let expected: Vec<Vec<f32>> = case[format]["logits"].as_array().unwrap().iter().map(floats).collect();
            let plain = logits(&decoder, &[None], &tokens, 1).remove(0);
            let alone = logits(&decoder, &[Some(&adapter)], &tokens, 1).remove(0);
            let beside = logits(&decoder, &[None, Some(&adapter), None, Some(&adapter)], &tokens, 1);
            assert_eq!(beside, [plain.clone(), alone.clone(), plain.clone(), alone.clone()], "{format}");
            let mut worst = 0.0f32;
            for (position, expected) in positions.iter().zip(&expected) {
                worst = worst.max(distance(&alone[*position], expected));
                // It changes something.
                assert!(distance(&plain[*position], expected) > 0.01);
            }
            let whole = logits(&decoder, &[None, Some(&adapter)], &tokens, tokens.len());
            worst = worst.max(distance(&whole[1][0], expected.last().unwrap()));
            println!("adapter, {}, {format}: {worst:.1e}", case["name"]);
            assert!(worst <= TOLERANCE, "{}, {format}: {worst:.1e}", case["name"]);
        }
    }
}

#[test]
#[should_panic(expected = "an adapter fits models of the architecture it was loaded for")]
fn an_adapter_of_another_architecture_is_not_computed() {
    let golden = golden("adapters");
    let [(_, llama), _] = decoders(&golden["cases"][0]);
    let [(_, phi3), _] = decoders(&golden["cases"][2]);
    logits(&phi3, &[Some(&adapter(&golden["cases"][0], &llama))], &[1, 2], 2);
}

#[test]
fn what_matters_to_training_alone_is_passed_over() {
    let golden = golden("adapters");
    let case = &golden["cases"][0];
    let [_, (_, decoder)] = decoders(case);
    let tensors = safetensors(&json!({ "json": case["adapter"] }));
    let mut config = case["adapter"]["config"].as_object().unwrap().clone();
    for (name, value) in [
        ("lora_dropout", json!(0.1)),
        ("init_lora_weights", json!("gaussian")),
        ("layers_to_transform", json!([0, 1])),
        ("base_model_name_or_path", json!("owner/name")),
        ("use_what_comes_next", json!(false)),
    ] {
        config.insert(name.to_owned(), value);
    }
    Adapter::check(&config, &tensors, decoder.architecture()).unwrap();
}

#[test]
fn an_adapter_of_another_base_is_refused() {
    let golden = golden("adapters");
    let decoder = |case: usize| decoders(&golden["cases"][case]).map(|(_, decoder)| decoder);
    let check = |base: &Decoder, config: &Value, tensors: &Value, expect: &str| {
        let tensors = safetensors(&json!({ "json": { "tensors": tensors } }));
        let error = Adapter::check(config.as_object().unwrap(), &tensors, base.architecture()).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    let ([llama, _], [phi3, _]) = (decoder(0), decoder(2));
    let [every, _, fused] = [0, 1, 2].map(|case: usize| &golden["cases"][case]["adapter"]);
    check(&phi3, &every["config"], &every["tensors"], "gate_proj.lora_A.weight belongs to no matrix");
    check(&llama, &fused["config"], &fused["tensors"], "gate_up_proj.lora_A.weight belongs to no matrix");
    check(&llama, &every["config"], &json!([]), "it has no tensors");
    let with = |name: &str, shape: [usize; 2]| {
        let mut tensors = every["tensors"].clone();
        tensors.as_array_mut().unwrap().push(json!([name, shape, 0.5, 0.0]));
        tensors
    };
    let deep = with("base_model.model.model.layers.2.mlp.up_proj.lora_A.weight", [4, 32]);
    check(
        &llama,
        &every["config"],
        &deep,
        "layers.2.mlp.up_proj.lora_A.weight belongs to no matrix of attention or of a",
    );
    check(&llama, &every["config"], &deep, "in the base's 2 layers");
    let head = with("base_model.model.lm_head.lora_A.weight", [4, 32]);
    check(&llama, &every["config"], &head, "lm_head.lora_A.weight belongs to no matrix");
    let wide: Vec<Value> = every["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tensor| {
            let shape: Vec<u64> = tensor[1].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
            json!([
                tensor[0],
                shape.iter().map(|size| if *size == 32 { 64 } else { *size }).collect::<Vec<_>>(),
                0.5,
                0.0
            ])
        })
        .collect();
    check(
        &llama,
        &every["config"],
        &json!(wide),
        "has the shape [4, 64] and should have [4, 32]; use it with the base",
    );
}

/// With one key of the adapter's configuration changed. `expect` is a part of the sentence.
fn check(name: &str, value: Value, expect: &str) {
    let golden = golden("adapters");
    let [_, (_, decoder)] = decoders(&golden["cases"][0]);
    let case = &golden["cases"][0];
    let mut config = case["adapter"]["config"].as_object().unwrap().clone();
    config.insert(name.to_owned(), value);
    let tensors = safetensors(&json!({ "json": case["adapter"] }));
    let adapter = Adapter::load(&config, &tensors, decoder.architecture(), &Device::flex());
    let sentence = adapter.unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

#[test]
fn refuses_what_would_give_other_numbers() {
    check("peft_type", json!("IA3"), "its peft_type is \"IA3\", and only LORA is supported");
    check("peft_type", json!(null), "its peft_type is not there");
    check("use_dora", json!(true), "asks for use_dora");
    check("bias", json!("all"), "asks for bias");
    check("rank_pattern", json!({"q_proj": 8}), "asks for rank_pattern");
    check("modules_to_save", json!(["lm_head"]), "asks for modules_to_save");
    check("use_what_comes_next", json!(1), "asks for use_what_comes_next");
    for method in ["pissa", "pissa_niter_16", "olora", "loftq", "corda"] {
        check("init_lora_weights", json!(method), &format!("it was initialised by \"{method}\""));
    }
    check("r", json!(0), "r is 0 and must be 1 to 1024");
    check("r", json!(5), "has the shape [4, 32] and should have [5, 32]");
    check("lora_alpha", json!("much"), "lora_alpha is \"much\" and should be a number");
    check("lora_alpha", json!(1e308), "lora_alpha is");
}
