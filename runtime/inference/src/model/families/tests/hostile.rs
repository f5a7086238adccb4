//! Metadata that contradict each other or the tensors: a sentence, never a panic.

use super::*;
use crate::gguf::sample::Writer;
use proptest::prelude::*;
use serde_json::json;

fn family(name: &str) -> Value {
    golden(name)["cases"][0].take()
}

/// With one key of the GGUF file or the `config.json` changed; null takes it away. `expect` is a part of the sentence.
fn check_gguf(name: &str, changes: &[(&str, Value)], expect: &str) {
    let case = family(name);
    let mut metadata = metadata(&case).clone();
    change(&mut metadata, changes);
    let sentence = Architecture::from_gguf(&gguf_with(&case, &metadata)).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{name}: {sentence}");
}

fn check_json(name: &str, changes: &[(&str, Value)], expect: &str) {
    let case = family(name);
    let mut config = config(&case).clone();
    change(&mut config, changes);
    let sentence = read_json(&config, &safetensors(&case)).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{name}: {sentence}");
}

fn change(map: &mut Map<String, Value>, changes: &[(&str, Value)]) {
    for (key, value) in changes {
        match value {
            Value::Null => drop(map.remove(*key)),
            value => drop(map.insert((*key).to_owned(), value.clone())),
        }
    }
}

#[test]
fn refuses_sizes_that_cannot_be() {
    check_gguf("qwen3", &[("qwen3.attention.head_count", json!(3))], "2 key heads do not divide 3 heads");
    check_gguf("qwen2", &[("qwen2.attention.head_count", json!(5))], "5 heads do not divide a width of 32");
    check_gguf(
        "qwen3",
        &[("qwen3.attention.key_length", json!(0))],
        "qwen3.attention.key_length is 0 and must be 1 to",
    );
    check_gguf("gemma2", &[("gemma2.attention.value_length", json!(8))], "values of 8 beside keys of 16");
    check_gguf(
        "gemma3",
        &[("gemma3.block_count", json!(u32::MAX))],
        "gemma3.block_count is 4294967295 and must be 1 to 1024",
    );
    check_gguf("phi3", &[("phi3.rope.dimension_count", json!(7))], "rotary width of 7 does not fit into heads of 8");
    check_gguf("llama", &[("llama.context_length", Value::Null)], "no llama.context_length");
    check_json("llama", &[("num_hidden_layers", json!(-1))], "num_hidden_layers is -1 and should be a whole number");
    check_json("llama", &[("hidden_size", json!(1e300))], "hidden_size is 1e+300 and should be a whole number");
    check_json(
        "llama",
        &[("hidden_size", json!(u64::MAX))],
        "hidden_size is 18446744073709551615 and must be 1 to 1048576",
    );
    check_json("llama", &[("vocab_size", json!(97))], "has the shape [96, 32] and should have [97, 32]");
    check_json("llama", &[("rms_norm_eps", json!("small"))], "rms_norm_eps is \"small\" and should be a number");
    check_json("llama", &[("rms_norm_eps", json!(0.0))], "the norms' epsilon is 0");
    check_json("llama", &[("rms_norm_eps", Value::Null)], "no rms_norm_eps");
}

#[test]
fn refuses_experts_that_cannot_be() {
    check_gguf(
        "qwen3_moe",
        &[("qwen3moe.expert_used_count", json!(0))],
        "qwen3moe.expert_used_count is 0 and must be 1 to",
    );
    check_gguf("qwen3_moe", &[("qwen3moe.expert_used_count", json!(9))], "9 of 8 experts are used");
    check_gguf("qwen3_moe", &[("qwen3moe.expert_count", json!(0))], "qwen3moe.expert_count is 0 and must be 1 to");
    check_gguf("qwen3_moe", &[("qwen3moe.expert_count", json!(4096))], "should have [4096, 32]");
    check_gguf("qwen3_moe", &[("qwen3moe.expert_count", json!(5000))], "must be 1 to 4096");
    check_json("qwen3_moe", &[("mlp_only_layers", json!([1]))], "layers without experts beside others");
    check_json("qwen3_moe", &[("decoder_sparse_step", json!(2))], "layers without experts beside others");
    check_json("llama", &[("num_local_experts", json!(8))], "it uses experts, which is not supported yet");
}

#[test]
fn refuses_windows_and_caps_that_cannot_be() {
    check_gguf(
        "gemma2",
        &[("gemma2.attention.sliding_window", json!(0))],
        "gemma2.attention.sliding_window is 0 and must be",
    );
    check_gguf("gemma2", &[("gemma2.attention.sliding_window", Value::Null)], "no gemma2.attention.sliding_window");
    check_gguf("gemma3", &[("gemma3.attention.sliding_window_pattern", json!(0))], "sliding_window_pattern is 0");
    check_gguf("gemma2", &[("gemma2.attn_logit_softcapping", json!(-1.0))], "the softcap of scores is -1");
    check_gguf("gemma2", &[("gemma2.final_logit_softcapping", json!(0.0))], "the softcap of logits is 0");
    check_gguf("gemma2", &[("gemma2.attention.scale", json!(-0.5))], "the scale of attention is -0.5");
    check_json("gemma2", &[("query_pre_attn_scalar", json!(0))], "the scale of attention is inf");
    check_json("gemma2", &[("query_pre_attn_scalar", json!(-3))], "the scale of attention is NaN");
    check_json("gemma3", &[("layer_types", json!(["full_attention"]))], "layer_types is no list of 7");
    check_json("qwen2", &[("use_sliding_window", json!(true)), ("sliding_window", json!(0))], "sliding_window is 0");
}

#[test]
fn not_a_number_is_refused() {
    let case = family("gemma2");
    for (key, expect) in [
        ("gemma2.attn_logit_softcapping", "the softcap of scores is NaN"),
        ("gemma2.final_logit_softcapping", "the softcap of logits is NaN"),
        ("gemma2.rope.freq_base", "the rotary base is NaN"),
        ("gemma2.rope.scaling.factor", "the rotary scaling's factor is NaN"),
        ("gemma2.attention.layer_norm_rms_epsilon", "the norms' epsilon is NaN"),
        ("gemma2.attention.scale", "the scale of attention is NaN"),
    ] {
        let others = metadata(&case).iter().filter(|(other, _)| *other != key);
        let writer = others.fold(Writer::new(), |writer, (key, value)| entry(writer, key, value)).f32(key, f32::NAN);
        let file =
            Gguf::from_bytes(writer.tensor("token_embd.weight", &[32, 96], 0, &[0; 32 * 96 * 4]).finish()).unwrap();
        let sentence = Architecture::from_gguf(&file).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
    }
}

#[test]
fn refuses_rotary_scalings_that_cannot_be() {
    let scaled = |kind: &str, factor: f64| {
        [("qwen2.rope.scaling.type", json!(kind)), ("qwen2.rope.scaling.factor", json!(factor))]
    };
    check_gguf("qwen2", &scaled("linear", 0.0), "the rotary scaling's factor is 0");
    check_gguf("qwen2", &scaled("yarn", 4.0), "no metadata key qwen2.rope.scaling.original_context_length");
    check_gguf("qwen2", &scaled("dynamic", 4.0), "the rotary scaling dynamic");
    let yarn = [scaled("yarn", 0.0).as_slice(), &[("qwen2.rope.scaling.original_context_length", json!(16))]].concat();
    check_gguf("qwen2", &yarn, "the rotary scaling's factor is 0");
    let yarn = [scaled("yarn", 4.0).as_slice(), &[("qwen2.rope.scaling.original_context_length", json!(0))]].concat();
    check_gguf("qwen2", &yarn, "the rotary scaling's original context is 0");
    check_gguf("qwen2", &[("qwen2.rope.freq_base", json!(1.0))], "the rotary base is 1");
    let scaled = |value: Value| [("rope_parameters", value)];
    check_json("llama", &scaled(json!({"rope_type": "linear", "factor": 0})), "the rotary scaling's factor is 0");
    check_json("llama", &scaled(json!({"rope_type": "linear"})), "no factor");
    check_json("llama", &scaled(json!("yarn")), "the rotary parameters are no object");
    check_json("llama", &scaled(json!({"rope_type": "ntk"})), "the rotary scaling ntk");
    check_json(
        "llama",
        &scaled(json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})),
        "the rotary scaling's limits are 4 and 4",
    );
    check_json(
        "phi3",
        &scaled(json!({"rope_type": "longrope", "long_factor": [1], "short_factor": [1, 1, 1, 1]})),
        "1 rotary divisors for 4 pairs",
    );
    check_json(
        "phi3",
        &scaled(json!({"rope_type": "longrope", "long_factor": [1, 1, 1, 0], "short_factor": [1, 1, 1, 1]})),
        "a rotary divisor is 0",
    );
    check_json(
        "phi3",
        &[("partial_rotary_factor", json!(2)), ("rope_parameters", Value::Null)],
        "not a share of a head",
    );
}

#[test]
fn refuses_what_would_give_other_numbers() {
    check_gguf(
        "llama",
        &[("general.architecture", json!("mamba"))],
        "architecture is mamba, and supported are llama, qwen2, qwen3,",
    );
    check_json(
        "llama",
        &[("model_type", json!("mamba"))],
        "architecture is mamba, and supported are llama, mistral, qwen2,",
    );
    check_json("llama", &[("attention_bias", json!(true))], "it uses attention_bias");
    check_json("llama", &[("hidden_act", json!("relu"))], "the activation relu");
    check_json("gemma3", &[("use_bidirectional_attention", json!(true))], "it uses use_bidirectional_attention");
    check_gguf("llama", &[("llama.rope.scale_linear", json!(2.0))], "llama.rope.scale_linear");
    // Another family's tensors: qwen3 has no bias, and llama no norms of heads.
    check_json("qwen2", &[("model_type", json!("llama"))], "it uses the tensor model.layers.0.self_attn.k_proj.bias");
    check_json("qwen3", &[("model_type", json!("llama"))], "it uses the tensor model.layers.0.self_attn.k_norm.weight");
}

/// A value for a key: of its own kind or of another, sensible or not.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![0u32, 1, 2, 3, 7, 8, 16, 32, 33, 64, 1 << 20, u32::MAX])
            .prop_map(|value| json!(value)),
        any::<u32>().prop_map(|value| json!(value)),
        any::<f32>().prop_filter("JSON has no such number", |value| value.is_finite()).prop_map(|value| json!(value)),
        any::<bool>().prop_map(|value| json!(value)),
        prop::sample::select(vec!["llama", "yarn", "linear", "longrope", "qwen3moe", "gemma2", ""])
            .prop_map(|value| json!(value)),
    ]
}

/// Reads a model; where that succeeds, computes with it.
fn survive(decoder: Result<Decoder, ModelError>) {
    match decoder {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(decoder) => {
            let room = decoder.architecture().context.min(40);
            let mut sequences = Sequences::new(&decoder, &[room]);
            for tokens in [&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17][..room.min(17)], &[5][..]] {
                if sequences.all[0].known + tokens.len() <= room {
                    assert_eq!(sequences.step(&[(0, tokens, 1)]).len(), 1);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a few keys say, reading ends with a model that computes or with a sentence; the tensors bound what is
    /// allocated, since their shapes are compared first.
    #[test]
    fn survives_mutated_metadata(changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4)) {
        for (_, case) in each_family() {
            let mut changed = metadata(&case).clone();
            for (place, value) in &changes {
                let key = changed.keys().nth(place.index(changed.len())).unwrap().clone();
                changed.insert(key, value.clone());
            }
            survive(Decoder::load(&gguf_with(&case, &changed), &Device::flex()));
        }
    }

    #[test]
    fn survives_mutated_configurations(changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4)) {
        for (_, case) in each_family() {
            let mut changed = config(&case).clone();
            for (place, value) in &changes {
                // One in some hits the rotary parameters themselves.
                let key = changed.keys().nth(place.index(changed.len())).unwrap().clone();
                match changed.get_mut(&key) {
                    Some(Value::Object(inner)) if !inner.is_empty() => {
                        let key = inner.keys().nth(place.index(inner.len())).unwrap().clone();
                        inner.insert(key, value.clone());
                    }
                    _ => drop(changed.insert(key, value.clone())),
                }
            }
            survive(Decoder::from_json(&changed, &safetensors(&case), &Device::flex()));
        }
    }
}
