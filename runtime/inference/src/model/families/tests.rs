//! Every family against `transformers` on tiny random models (see `tests/goldens/families.py`), from both formats; and
//! metadata that contradict each other.

use super::*;
use crate::model::{
    Decoder,
    golden::{config, distance, entry, floats, gguf_with, golden, metadata, safetensors, sizes, tokens},
    paging::Sequences,
    read_config,
};
use burn::tensor::Device;

mod hostile;

/// Largest difference of a logit, over the largest logit of its position. The reference computes in f32 too, with other
/// orders of addition, and its rotary angles are f32.
const TOLERANCE: f32 = 1e-5;

/// The case's decoders, each with the logits that it should give.
fn decoders(case: &Value) -> Vec<(&'static str, Decoder, Vec<Vec<f32>>)> {
    let device = Device::flex();
    let expected = |format: &str| case[format]["logits"].as_array().unwrap().iter().map(floats).collect();
    let json = Decoder::from_json(config(case), &safetensors(case), &device).unwrap();
    let mut decoders = vec![("json", json, expected("json"))];
    if case["gguf"].is_object() {
        let gguf = Decoder::load(&gguf_with(case, metadata(case)), &device).unwrap();
        decoders.push(("gguf", gguf, expected("gguf")));
    }
    decoders
}

/// The logits behind each chunk that ends at one of the positions, where the sequence is cut into these chunks and `beside`
/// others like it are computed in the same steps.
fn chunked(decoder: &Decoder, tokens: &[u32], positions: &[usize], chunks: &[usize], beside: usize) -> Vec<Vec<f32>> {
    let mut sequences = Sequences::new(decoder, &vec![tokens.len(); beside + 1]);
    let reversed: Vec<u32> = tokens.iter().rev().copied().collect();
    let own = beside / 2;
    let (mut found, mut begin) = (Vec::new(), 0);
    for chunk in chunks.iter().copied().cycle() {
        let end = tokens.len().min(begin + chunk);
        let logits = usize::from(positions.contains(&(end - 1)));
        let work = (0..=beside).map(|index| match index == own {
            true => (index, &tokens[begin..end], logits),
            false => (index, &reversed[begin..end], 0),
        });
        found.extend(sequences.step(&work.collect::<Vec<_>>()));
        if end == tokens.len() {
            break;
        }
        begin = end;
    }
    found
}

/// Whole, in pieces, token by token and beside others, a family gives the reference's logits, from either format.
fn check(family: &str) {
    let golden = golden(family);
    for case in golden["cases"].as_array().unwrap() {
        let tokens = tokens(case);
        let positions = sizes(&case["positions"]);
        let mut worst = 0.0f32;
        for (format, decoder, expected) in decoders(case) {
            let mut compare = |what: &str, chunks: &[usize], beside: usize| {
                let found = chunked(&decoder, &tokens, &positions, chunks, beside);
                assert!(!found.is_empty());
                let ends = positions.iter().zip(&expected).filter(|(position, _)| {
                    let cut: usize = chunks.iter().sum();
                    let inside = (*position + 1) % cut;
                    let sums = chunks.iter().scan(0, |sum, chunk| {
                        *sum += chunk;
                        Some(*sum % cut)
                    });
                    **position == tokens.len() - 1 || sums.collect::<Vec<_>>().contains(&inside)
                });
                let ends: Vec<_> = ends.collect();
                assert_eq!(ends.len(), found.len(), "{what}");
                for (found, (position, expected)) in found.iter().zip(ends) {
                    let distance = distance(found, expected);
                    worst = worst.max(distance);
                    let name = &case["name"];
                    assert!(distance <= TOLERANCE, "{family}, {name}, {format}, {what}, at {position}: {distance:.1e}");
                }
            };
            compare("whole", &[tokens.len()], 0);
            compare("halves", &[20], 0);
            compare("pieces", &[8, 13, 9, 10], 0);
            compare("token by token", &[1], 0);
            compare("two side by side", &[3, 5, 13, 9, 10], 1);
            compare("five side by side, token by token", &[1], 4);
        }
        println!("{family}, {}: {worst:.1e}", case["name"]);
    }
}

#[test]
fn llama_is_the_references() {
    check("llama");
}

#[test]
fn mistral_is_the_references() {
    check("mistral");
}

#[test]
fn qwen2_is_the_references() {
    check("qwen2");
}

#[test]
fn qwen3_is_the_references() {
    check("qwen3");
}

#[test]
fn qwen3_with_experts_is_the_references() {
    check("qwen3_moe");
}

#[test]
fn gemma2_is_the_references() {
    check("gemma2");
}

#[test]
fn gemma3_is_the_references() {
    check("gemma3");
}

#[test]
fn phi3_is_the_references() {
    check("phi3");
}

/// Every family's first case that there is a GGUF file of.
fn each_family() -> Vec<(&'static str, Value)> {
    ["llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3", "phi3"]
        .map(|family| (family, golden(family)["cases"][0].take()))
        .to_vec()
}

#[test]
fn neighbours_change_no_bit_in_any_family() {
    for (family, case) in each_family() {
        let decoder = Decoder::load(&gguf_with(&case, metadata(&case)), &Device::flex()).unwrap();
        let tokens = tokens(&case);
        let positions: Vec<usize> = (0..tokens.len()).collect();
        let alone = chunked(&decoder, &tokens, &positions, &[1], 0);
        assert_eq!(chunked(&decoder, &tokens, &positions, &[1], 7), alone, "{family}");
        // Eight rows of one sequence.
        assert_eq!(
            chunked(&decoder, &tokens, &[7, 15, 39], &[8], 0),
            [7, 15, 39].map(|at: usize| alone[at].clone()),
            "{family}"
        );
    }
}

#[test]
fn a_long_texts_state_is_no_short_ones() {
    let case = &golden("phi3")["cases"][1];
    let decoder = Decoder::load(&gguf_with(case, metadata(case)), &Device::flex()).unwrap();
    // The original context is 24.
    let logits = |room| Sequences::new(&decoder, &[room]).run(0, &[1, 2, 3], &[]);
    for (room, is_alike) in [(20, true), (25, false)] {
        assert_eq!(decoder.architecture().turns_alike(24, room), is_alike);
        assert_eq!(logits(24) == logits(room), is_alike);
    }
}

#[test]
fn a_card_names_the_family() {
    for (family, case) in each_family() {
        let architecture = Architecture::from_gguf(&gguf_with(&case, metadata(&case))).unwrap();
        // Mistral is called llama in GGUF.
        let expected = match family {
            "mistral" => "llama",
            "qwen3_moe" => "qwen3-moe",
            other => other,
        };
        assert_eq!(architecture.family, expected);
    }
    let case = &golden("mistral")["cases"][0];
    assert_eq!(read_json(config(case), &safetensors(case)).unwrap().0.family, "mistral");
}

/// Before `transformers` 5 a `config.json` had `rope_theta` and `rope_scaling`.
#[test]
fn older_configurations_say_the_same() {
    for (family, index) in
        [("llama", 0), ("llama", 1), ("llama", 2), ("qwen2", 1), ("phi3", 1), ("phi3", 3), ("gemma3", 0)]
    {
        let golden = golden(family);
        let case = &golden["cases"][index];
        let mut older = config(case).clone();
        let mut parameters = older.remove("rope_parameters").unwrap();
        if let Some(local) = parameters.get("sliding_attention") {
            older.insert("rope_local_base_freq".to_owned(), local["rope_theta"].clone());
            parameters = parameters["full_attention"].take();
        }
        let parameters = parameters.as_object_mut().unwrap();
        older.insert("rope_theta".to_owned(), parameters.remove("rope_theta").unwrap());
        if let Some(share) = parameters.remove("partial_rotary_factor") {
            older.insert("partial_rotary_factor".to_owned(), share);
        }
        let kind = parameters.remove("rope_type").unwrap();
        if kind != "default" {
            parameters.insert("type".to_owned(), kind);
            older.insert("rope_scaling".to_owned(), Value::Object(parameters.clone()));
        }
        older.remove("layer_types");
        let tensors = safetensors(case);
        assert_eq!(read_json(&older, &tensors).unwrap().0, read_json(config(case), &tensors).unwrap().0, "{family}");
    }
}

/// The logits of a case with some of its metadata changed, far from the reference's.
fn check_shows(family: &str, index: usize, key: &str, value: Value) {
    let golden = golden(family);
    let case = &golden["cases"][index];
    let mut changed = metadata(case).clone();
    assert_ne!(changed.insert(key.to_owned(), value.clone()), Some(value), "{key}");
    let decoder = Decoder::load(&gguf_with(case, &changed), &Device::flex()).unwrap();
    let tokens = tokens(case);
    let found = chunked(&decoder, &tokens, &[tokens.len() - 1], &[tokens.len()], 0);
    let expected = floats(case["gguf"]["logits"].as_array().unwrap().last().unwrap());
    let distance = distance(&found[0], &expected);
    assert!(distance > 1000.0 * TOLERANCE, "{key}: {distance:.1e}");
}

/// A golden that would pass without the feature would prove nothing.
#[test]
fn each_feature_shows_in_the_logits() {
    use serde_json::json;
    check_shows("llama", 0, "llama.rope.freq_base", json!(500.0));
    check_shows("llama", 2, "llama.rope.scaling.factor", json!(3.0));
    check_shows("mistral", 0, "llama.attention.sliding_window", json!(9));
    check_shows("qwen2", 1, "qwen2.rope.scaling.factor", json!(3.0));
    check_shows("qwen2", 1, "qwen2.rope.scaling.attn_factor", json!(1.1));
    check_shows("qwen2", 1, "qwen2.rope.scaling.original_context_length", json!(48));
    check_shows("qwen3_moe", 0, "qwen3moe.expert_used_count", json!(2));
    check_shows("qwen3_moe", 0, "qwen3moe.expert_weights_norm", json!(false));
    check_shows("gemma2", 0, "gemma2.attention.sliding_window", json!(9));
    check_shows("gemma2", 0, "gemma2.attn_logit_softcapping", json!(5.0));
    check_shows("gemma2", 0, "gemma2.final_logit_softcapping", json!(5.0));
    check_shows("gemma3", 0, "gemma3.attention.sliding_window_pattern", json!(5));
    check_shows("gemma3", 0, "gemma3.rope.freq_base_swa", json!(500.0));
    check_shows("gemma3", 0, "gemma3.rope.scaling.factor", json!(1.0));
    check_shows("gemma3", 0, "gemma3.attention.sliding_window", json!(7));
    check_shows("phi3", 0, "phi3.attention.sliding_window", json!(0));
    check_shows("phi3", 1, "phi3.rope.scaling.attn_factor", json!(1.0));
    check_shows("phi3", 1, "phi3.rope.scaling.original_context_length", json!(40));
    check_shows("phi3", 2, "phi3.rope.scaling.original_context_length", json!(23));
}

#[test]
fn a_folder_is_a_model() {
    let golden = golden("qwen3");
    let case = &golden["cases"][0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let sentence = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_config(&path).unwrap_err().to_string()
    };
    assert!(sentence("[1]").contains("config.json cannot be read: invalid type"), "{}", sentence("[1]"));
    assert!(sentence(&" ".repeat(1 << 21)).contains("it has more than 1048576 bytes"));
    std::fs::write(&path, case["json"]["config"].to_string()).unwrap();
    assert_eq!(read_config(&path).unwrap(), *config(case));
    assert!(read_config(&folder.path().join("absent")).unwrap_err().to_string().contains("absent cannot be read"));
}
