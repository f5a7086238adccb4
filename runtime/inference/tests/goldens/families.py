"""Makes the goldens of the model families: `families/NAME.json`.

    python3 families.py            # needs torch, transformers 5 and safetensors; nothing is downloaded

For each case a tiny model of its family is built twice, once as a GGUF file would hold it and once as a `config.json`
with safetensors. A tensor's numbers come from SplitMix64, seeded with the FNV-1a hash of its name in that format, so that
the tests make the same numbers from the names and shapes in the golden. `transformers` loads them (for GGUF: after the
permutation, the offset or the stacking was undone) and computes logits in float32 with eager attention. A golden has:

    cases[].name
    cases[].gguf.metadata   key -> value; no `gguf` where its metadata cannot say what the case is about
    cases[].json.config     the config.json
    cases[].{gguf,json}.tensors     [name, shape (slowest first), scale, offset], or [name, shape, values]
    cases[].tokens, cases[].positions
    cases[].{gguf,json}.logits      one list for each position, 9 significant digits
"""

import json
import math
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
VOCABULARY = 96
TOKENS = 40
HERE = pathlib.Path(__file__).parent / "families"


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def numbers(name, shape, scale, offset):
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        state = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA)
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    unit = (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return (offset + scale * (unit * 2.0 - 1.0)).astype(np.float32).reshape(shape)


class Tensor:
    """One tensor of the GGUF file, and the tensors of the safetensors file that hold the same numbers."""

    def __init__(self, gguf, hf, shape, scale, offset=0.0, undo=None, hf_offset=None):
        self.gguf, self.hf, self.shape, self.scale, self.offset = gguf, hf, shape, scale, offset
        self.undo = undo or (lambda values: values)
        self.hf_offset = offset if hf_offset is None else hf_offset


def unpermute(heads):
    """Neighbours back to halves, as `transformers` orders rows."""
    return lambda w: w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def plan(config, family):
    """All tensors of a model. The numbers are large enough that every feature shows in the logits."""
    width, vocabulary = config.hidden_size, config.vocab_size
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head = getattr(config, "head_dim", None) or width // heads
    gemma, llama = family.startswith("gemma"), family in ("llama", "mistral")
    linear = lambda inputs, gain=1.0: gain * 1.7 / math.sqrt(inputs)

    def norm(gguf, hf, size):
        undo = (lambda w: w - np.float32(1)) if gemma else None
        return Tensor(gguf, hf, [size], 0.3, 1.0, undo, 0.0 if gemma else 1.0)

    yield Tensor("token_embd.weight", "model.embed_tokens.weight", [vocabulary, width], 1.0)
    yield norm("output_norm.weight", "model.norm.weight", width)
    if not config.tie_word_embeddings:
        yield Tensor("output.weight", "lm_head.weight", [vocabulary, width], linear(width))
    for layer in range(config.num_hidden_layers):
        g, h = f"blk.{layer}.", f"model.layers.{layer}."
        yield norm(g + "attn_norm.weight", h + "input_layernorm.weight", width)
        query, key = heads * head, kv_heads * head
        if family == "phi3":
            yield Tensor(g + "attn_qkv.weight", h + "self_attn.qkv_proj.weight", [query + 2 * key, width], linear(width, 2))
        else:
            for letter, rows, count, gain in (("q", query, heads, 2), ("k", key, kv_heads, 2), ("v", key, None, 1)):
                undo = unpermute(count) if llama and count else None
                yield Tensor(f"{g}attn_{letter}.weight", f"{h}self_attn.{letter}_proj.weight", [rows, width],
                             linear(width, gain), 0.0, undo)
                if family == "qwen2":
                    yield Tensor(f"{g}attn_{letter}.bias", f"{h}self_attn.{letter}_proj.bias", [rows], 0.8)
        if family in ("qwen3", "qwen3_moe", "gemma3"):
            yield norm(g + "attn_q_norm.weight", h + "self_attn.q_norm.weight", head)
            yield norm(g + "attn_k_norm.weight", h + "self_attn.k_norm.weight", head)
        yield Tensor(g + "attn_output.weight", h + "self_attn.o_proj.weight", [width, query], linear(query))
        if gemma:
            yield norm(g + "post_attention_norm.weight", h + "post_attention_layernorm.weight", width)
            yield norm(g + "ffn_norm.weight", h + "pre_feedforward_layernorm.weight", width)
            yield norm(g + "post_ffw_norm.weight", h + "post_feedforward_layernorm.weight", width)
        else:
            yield norm(g + "ffn_norm.weight", h + "post_attention_layernorm.weight", width)
        inner = config.intermediate_size
        if family == "qwen3_moe":
            count, inner = config.num_experts, config.moe_intermediate_size
            yield Tensor(g + "ffn_gate_inp.weight", h + "mlp.gate.weight", [count, width], linear(width, 2))
            for letter, shape in (("gate", [inner, width]), ("up", [inner, width]), ("down", [width, inner])):
                names = [f"{h}mlp.experts.{expert}.{letter}_proj.weight" for expert in range(count)]
                yield Tensor(f"{g}ffn_{letter}_exps.weight", names, [count] + shape, linear(shape[1]))
            continue
        if family == "phi3":
            yield Tensor(g + "ffn_up.weight", h + "mlp.gate_up_proj.weight", [2 * inner, width], linear(width))
        else:
            yield Tensor(g + "ffn_gate.weight", h + "mlp.gate_proj.weight", [inner, width], linear(width))
            yield Tensor(g + "ffn_up.weight", h + "mlp.up_proj.weight", [inner, width], linear(width))
        yield Tensor(g + "ffn_down.weight", h + "mlp.down_proj.weight", [width, inner], linear(inner))


def gguf_metadata(config, architecture):
    """As llama.cpp's converter writes it."""
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
    }
    if architecture not in ("phi3", "qwen2"):
        keys |= {"attention.key_length": head, "attention.value_length": head}
    rope = config.rope_parameters
    rope = rope.get("full_attention", rope)
    share = rope.get("partial_rotary_factor") or 1.0
    if architecture in ("llama", "phi3"):
        keys["rope.dimension_count"] = int(head * share)
    keys["rope.freq_base"] = float(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        keys |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": float(rope["factor"])}
    if rope["rope_type"] == "yarn":
        keys["rope.scaling.original_context_length"] = rope["original_max_position_embeddings"]
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        ratio = config.max_position_embeddings / original
        keys["rope.scaling.original_context_length"] = original
        keys["rope.scaling.attn_factor"] = math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0
    if architecture == "phi3" or architecture.startswith("gemma") or getattr(config, "model_type", "") == "mistral":
        keys["attention.sliding_window"] = config.sliding_window or 0
    if architecture == "gemma2":
        keys |= {"attn_logit_softcapping": config.attn_logit_softcapping,
                 "final_logit_softcapping": config.final_logit_softcapping}
    if architecture == "qwen3moe":
        keys |= {"expert_count": config.num_experts, "expert_used_count": config.num_experts_per_tok,
                 "expert_feed_forward_length": config.moe_intermediate_size}
    return {"general.architecture": architecture} | {f"{architecture}.{key}": value for key, value in keys.items()}


def rope_tensors(config):
    """Rotary factors that a GGUF file holds as tensors."""
    rope = config.rope_parameters
    if rope.get("rope_type") == "longrope":
        for kind in ("long", "short"):
            yield f"rope_factors_{kind}.weight", rope[f"{kind}_factor"]
    if rope.get("rope_type") == "llama3":
        head, original = config.head_dim, rope["original_max_position_embeddings"]
        low, high = original / rope["low_freq_factor"], original / rope["high_freq_factor"]
        factors = []
        for pair in range(head // 2):
            length = 2 * math.pi * rope["rope_theta"] ** (2 * pair / head)
            smooth = (original / length - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
            blended = 1 / ((1 - smooth) / rope["factor"] + smooth)
            factors.append(1.0 if length < high else rope["factor"] if length > low else blended)
        yield "rope_freqs.weight", factors


def logits(config, state, tokens, positions):
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        save_file({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()},
                  f"{folder}/model.safetensors", metadata={"format": "pt"})
        saved = json.loads(pathlib.Path(f"{folder}/config.json").read_text())
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    with torch.no_grad():
        result = model.eval()(torch.tensor([tokens]), use_cache=False).logits[0]
    rows = [[float(f"{float(value):.9g}") for value in result[position]] for position in positions]
    return saved, rows


def case(name, family, architecture, config, tokens=TOKENS, positions=(7, 20, 29, 39), has_gguf=True):
    config.vocab_size, config.architectures = VOCABULARY, None
    config.pad_token_id = config.bos_token_id = config.eos_token_id = None
    ids = [int((index * 37 + index * index * 5 + 11) % VOCABULARY) for index in range(tokens)]
    plans = list(plan(config, family))
    gguf, hf, gguf_list, hf_list = {}, {}, [], []
    for tensor in plans:
        values = tensor.undo(numbers(tensor.gguf, tensor.shape, tensor.scale, tensor.offset))
        gguf_list.append([tensor.gguf, tensor.shape, tensor.scale, tensor.offset])
        names = tensor.hf if isinstance(tensor.hf, list) else [tensor.hf]
        shape = tensor.shape[1:] if isinstance(tensor.hf, list) else tensor.shape
        for index, hf_name in enumerate(names):
            gguf[hf_name] = values[index] if isinstance(tensor.hf, list) else values
            hf[hf_name] = numbers(hf_name, shape, tensor.scale, tensor.hf_offset)
            hf_list.append([hf_name, shape, tensor.scale, tensor.hf_offset])
    gguf_list += [[key, [len(values)], values] for key, values in rope_tensors(config)]
    saved, hf_logits = logits(config, hf, ids, positions)
    golden = {"name": name, "tokens": ids, "positions": list(positions),
              "json": {"config": saved, "tensors": hf_list, "logits": hf_logits}}
    if has_gguf:
        _, gguf_logits = logits(config, gguf, ids, positions)
        golden["gguf"] = {"metadata": gguf_metadata(config, architecture), "tensors": gguf_list, "logits": gguf_logits}
    return golden


COMMON = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              vocab_size=VOCABULARY, max_position_embeddings=64, rms_norm_eps=1e-5)


def goldens():
    t = transformers
    llama3 = {"rope_type": "llama3", "rope_theta": 50000.0, "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 24}
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    yarn = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
            "beta_fast": 32, "beta_slow": 1}
    yield "llama", [
        case("llama 2", "llama", "llama", t.LlamaConfig(**COMMON)),
        case("llama 3", "llama", "llama", t.LlamaConfig(**COMMON | dict(
            head_dim=16, rope_parameters=llama3, tie_word_embeddings=True))),
        case("linear", "llama", "llama", t.LlamaConfig(**COMMON | dict(rope_parameters=linear, num_key_value_heads=4))),
    ]
    yield "mistral", [
        case("a window of 8", "mistral", "llama", t.MistralConfig(**COMMON | dict(sliding_window=8))),
    ]
    yield "qwen2", [
        case("biases", "qwen2", "qwen2", t.Qwen2Config(**COMMON | dict(tie_word_embeddings=True))),
        case("yarn", "qwen2", "qwen2", t.Qwen2Config(**COMMON | dict(num_attention_heads=2, num_key_value_heads=1,
                                                                     rope_parameters=dict(yarn)))),
    ]
    yield "qwen3", [
        case("head norms", "qwen3", "qwen3", t.Qwen3Config(**COMMON | dict(head_dim=16, tie_word_embeddings=True))),
        case("yarn", "qwen3", "qwen3", t.Qwen3Config(**COMMON | dict(head_dim=32, rope_parameters=dict(yarn)))),
    ]
    yield "qwen3_moe", [
        case("three of eight", "qwen3_moe", "qwen3moe", t.Qwen3MoeConfig(**COMMON | dict(
            head_dim=16, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=24, norm_topk_prob=True))),
        case("weights as they are", "qwen3_moe", "qwen3moe", t.Qwen3MoeConfig(**COMMON | dict(
            head_dim=8, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=16, norm_topk_prob=False)),
            has_gguf=False),
    ]
    yield "gemma2", [
        case("caps and windows", "gemma2", "gemma2", t.Gemma2Config(**COMMON | dict(
            num_hidden_layers=4, head_dim=16, sliding_window=8, query_pre_attn_scalar=16,
            attn_logit_softcapping=3.0, final_logit_softcapping=4.0, rms_norm_eps=1e-6))),
        case("a scale of its own", "gemma2", "gemma2", t.Gemma2Config(**COMMON | dict(
            head_dim=8, sliding_window=8, query_pre_attn_scalar=40, attn_logit_softcapping=None,
            final_logit_softcapping=None)), has_gguf=False),
    ]
    yield "gemma3", [
        case("two ropes", "gemma3", "gemma3", t.Gemma3TextConfig(**COMMON | dict(
            num_hidden_layers=7, head_dim=16, sliding_window=8, query_pre_attn_scalar=16, rms_norm_eps=1e-6,
            rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}))),
    ]
    factors = lambda top, count: [round(1 + top * index / count, 3) for index in range(count)]
    longrope = lambda count: {"rope_type": "longrope", "rope_theta": 10000.0, "long_factor": factors(9, count),
                              "short_factor": factors(0.6, count), "original_max_position_embeddings": 24}
    phi3 = COMMON | dict(original_max_position_embeddings=24)
    yield "phi3", [
        case("a window of 8", "phi3", "phi3", t.Phi3Config(**COMMON | dict(sliding_window=8))),
        case("a long text", "phi3", "phi3", t.Phi3Config(**phi3 | dict(num_attention_heads=2, num_key_value_heads=1,
                                                                       rope_parameters=longrope(8)))),
        case("a short text", "phi3", "phi3", t.Phi3Config(**phi3 | dict(rope_parameters=longrope(4))), 24, (7, 16, 23)),
        case("three quarters turned", "phi3", "phi3", t.Phi3Config(**phi3 | dict(
            num_attention_heads=2, num_key_value_heads=2,
            rope_parameters=longrope(6) | {"partial_rotary_factor": 0.75}))),
    ]


def write(name, golden):
    """One line for each part, at most 100 KB."""
    text = json.dumps(golden, separators=(",", ":")).replace('{"name"', '\n{"name"')
    for part in ("tokens", "gguf", "json", "tensors", "logits", "embedding", "adapter"):
        text = text.replace(f',"{part}"', f',\n"{part}"')
    path = HERE / f"{name}.json"
    path.write_text(text + "\n")
    size = path.stat().st_size
    assert size <= 100_000, f"{path} has {size} bytes"
    print(path.name, size)


def main():
    HERE.mkdir(exist_ok=True)
    made = f"families.py, transformers {transformers.__version__}, torch {torch.__version__}"
    for name, cases in goldens():
        write(name, {"made_with": made, "cases": cases})


if __name__ == "__main__":
    main()
