"""Makes the small tokenizers of this folder and `ids.json`: what the reference implementations say about `lines.txt`.

    pip install gguf==0.19.0 numpy==2.4.6 protobuf sentencepiece==0.2.3 tokenizers==0.23.3
    python lines.py && python make.py PATH_TO_SMOLLM2_GGUF

A person runs this by hand when a case is added (two minutes). CI never does: the files are committed, and the Rust tests read only those.

Each tokenizer is trained here, on the licence texts of a Debian system and every second line of `lines.txt`, with the model type, the
normaliser, the splitter and the kinds of special tokens of the family that it stands for. What counts is that the same model gives the
same ids, not that the model is a good one.

- `NAME.gguf`: metadata alone, written by the `gguf` package. The reference is `tokenizers` (byte-level BPE, WordPiece) or
  `sentencepiece` (`llama`, `t5`), from the same model in its own format.
- `NAME/tokenizer.json` with its settings; the reference is `tokenizers` on the same file.
- `smollm2` has no file here: it is the GGUF file that the other goldens are for, and the reference is `tokenizers`, rebuilt from the
  file's vocabulary and merges.

`ids.json`: for each name, `hashes` (FNV-1a, 32 bits, of the ids of each line as little-endian u32; eight hex digits a line) and
`samples`, the ids of every 20th line. Special tokens are never parsed, and none are added.
"""

import json
import sys
import tempfile
from pathlib import Path

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).resolve().parent
LINES = (FOLDER / "lines.txt").read_bytes().decode().split("\n")
SAMPLE_EVERY = 20
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SHORT_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
# As the families' own `tokenizer.json` files have them: patterns that split, one after the other.
SPLITTERS = {
    "llama-bpe": [SHORT_WORDS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST],
    "qwen2": [SHORT_WORDS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST],
    "tekken": [rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*|\p{{N}}" + REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)],
    "deepseek-v3": [
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ],
}
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def corpus():
    texts = [path.read_text(errors="replace") for path in sorted(Path("/usr/share/common-licenses").iterdir()) if path.is_file()]
    return [line for text in texts for line in text.split("\n")][:6000] + LINES[::2] * 2


def splitter_of(name):
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITTERS[name]]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train_byte_level(name):
    keeps_words = name in ("llama-bpe", "tekken")
    tokenizer = Tokenizer(models.BPE(ignore_merges=keeps_words))
    tokenizer.pre_tokenizer = splitter_of(name)
    tokenizer.decoder = decoders.ByteLevel()
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=1100, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    if keeps_words:
        # A word that no merge leads to, to see that words go before merges.
        described = json.loads(tokenizer.to_str())
        described["model"]["merges"] = [merge for merge in described["model"]["merges"] if "".join(merge) not in ("Ġthe", "and", "Ġlicense")]
        tokenizer = Tokenizer.from_str(json.dumps(described))
    return tokenizer


def start_gguf(name, model):
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", "llama")
    writer.add_tokenizer_model(model)
    return writer


def finish_gguf(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_byte_level(name, tokenizer):
    described = json.loads(tokenizer.to_str())
    control = {token["content"]: token["id"] for token in described["added_tokens"]}
    tokens = sorted((described["model"]["vocab"] | control).items(), key=lambda token: token[1])
    writer = start_gguf(name, "gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([CONTROL if text in control else NORMAL for text, _ in tokens])
    writer.add_token_merges([" ".join(merge) for merge in described["model"]["merges"]])
    writer.add_bos_token_id(control["<|begin_of_text|>"])
    writer.add_eos_token_id(control["<|end_of_text|>"])
    writer.add_eot_token_id(control["<|eot_id|>"])
    finish_gguf(writer)


def train_sentencepiece(**settings):
    with tempfile.TemporaryDirectory() as temporary:
        text, prefix = Path(temporary) / "corpus.txt", Path(temporary) / "model"
        text.write_text("\n".join(corpus()))
        if "rules" in settings:
            rules = Path(temporary) / "rules.tsv"
            rules.write_text(settings.pop("rules"))
            settings["normalization_rule_tsv"] = str(rules)
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(prefix), minloglevel=2, num_threads=1, hard_vocab_limit=False, **settings)
        return prefix.with_suffix(".model").read_bytes()


def rules():
    """A few of the rules that `nmt_nfkc` has, whose compiled form takes 240 KB."""
    pairs = [("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("ﬁ", "fi"), ("ﬂ", "fl"), ("ﬀ", "ff"), ("½", "1⁄2"), ("Ⅷ", "VIII"), ("…", "..."), ("\u200b", ""), ("\u00ad", "")]
    pairs += [(chr(0xFF01 + offset), chr(0x21 + offset)) for offset in range(94)]
    pairs += [("e\u0301", "é"), ("A\u030a", "Å"), ("o\u0308", "ö"), ("a\u0301\u0301", "á\u0301")]
    codes = lambda text: " ".join(f"{ord(character):X}" for character in text)
    return "".join(f"{codes(source)}\t{codes(target)}\n" for source, target in pairs)


SPM_COMMON = dict(character_coverage=0.995, unk_id=0, bos_id=1, eos_id=2)
SPM_LLAMA = SPM_COMMON | dict(model_type="bpe", vocab_size=1500, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True)
# Blanks and elements as Gemma has them.
SPM_GEMMA = SPM_LLAMA | dict(
    add_dummy_prefix=False,
    allow_whitespace_only_pieces=True,
    control_symbols=["<start_of_turn>", "<end_of_turn>"],
    user_defined_symbols=["▁" * count for count in range(2, 9)] + ["\t", "\t\t", "<div>", "<h1>", "</code>", "<b>"],
)
SPM_T5 = SPM_COMMON | dict(model_type="unigram", vocab_size=1500, unk_id=2, pad_id=0, eos_id=1, bos_id=-1)


def write_sentencepiece(name, kind, model):
    described = proto.ModelProto.FromString(model)
    types = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER_DEFINED, 5: UNUSED, 6: BYTE}
    writer = start_gguf(name, kind)
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.piece for piece in described.pieces])
    writer.add_token_scores([piece.score for piece in described.pieces])
    writer.add_token_types([types[piece.type] for piece in described.pieces])
    writer.add_add_space_prefix(described.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(described.normalizer_spec.remove_extra_whitespaces)
    if described.normalizer_spec.precompiled_charsmap:
        writer.add_precompiled_charsmap(described.normalizer_spec.precompiled_charsmap)
    trainer = described.trainer_spec
    for add, token in [(writer.add_bos_token_id, trainer.bos_id), (writer.add_eos_token_id, trainer.eos_id), (writer.add_unk_token_id, trainer.unk_id), (writer.add_pad_token_id, trainer.pad_id)]:
        if token >= 0:
            add(token)
    finish_gguf(writer)


def with_unused(model):
    described = proto.ModelProto.FromString(model)
    pieces = [piece for piece in described.pieces if piece.type == 1 and len(piece.piece) > 1]
    for piece in pieces[::5]:
        piece.type = 5
    return described.SerializeToString()


def train_word_piece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def write_word_piece(name, tokenizer, lowercase):
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    texts = [text for text, _ in sorted(tokenizer.get_vocab().items(), key=lambda token: token[1])]

    def phantom(text):
        return text if text in control else text[2:] if text.startswith("##") else "▁" + text

    writer = start_gguf(name, "bert")
    # llama.cpp's converter writes the first form; the second is the original vocabulary.
    writer.add_token_list([phantom(text) for text in texts] if lowercase else texts)
    writer.add_token_types([CONTROL if text in control else NORMAL for text in texts])
    writer.add_unk_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_sep_token_id(3)
    writer.add_bos_token_id(2)
    if not lowercase:
        writer.add_bool("tokenizer.ggml.normalizer.lowercase", False)
    finish_gguf(writer)


def pieces_of(model):
    return [(piece.piece, piece.score) for piece in proto.ModelProto.FromString(model).pieces]


def sentencepiece_bpe_as_json(model):
    """As Hugging Face converts Llama 2: merges from all ways to make a piece of two, blanks by a normaliser."""
    pieces = pieces_of(model)
    ids = {text: index for index, (text, _) in enumerate(pieces)}
    merges = []
    for text, score in pieces:
        ways = [(text[:cut], text[cut:]) for cut in range(1, len(text)) if text[:cut] in ids and text[cut:] in ids]
        merges += [(left, right, score) for left, right in sorted(ways, key=lambda way: (ids[way[0]], ids[way[1]]))]
    merges.sort(key=lambda merge: -merge[2])
    tokenizer = Tokenizer(models.BPE(ids, [merge[:2] for merge in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return tokenizer


def unigram_as_json(model):
    described = proto.ModelProto.FromString(model)
    tokenizer = Tokenizer(models.Unigram(pieces_of(model), unk_id=described.trainer_spec.unk_id))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(described.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=True, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def write_json(name, tokenizer, **settings):
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")))
    for file, contents in settings.items():
        (folder / f"{file}.json").write_text(json.dumps(contents, indent=1) + "\n")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def smollm2(path):
    fields = {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items() if name.startswith("tokenizer.")}
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({text: index for index, text in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = splitter_of("smollm")
    return tokenizer


def fnv(ids):
    value = 0x811C9DC5
    for byte in b"".join(token.to_bytes(4, "little") for token in ids):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def golden_of(encode):
    ids = [encode(line) for line in LINES]
    return {"hashes": "".join(map(fnv, ids)), "samples": ids[::SAMPLE_EVERY]}


def plain(tokenizer):
    tokenizer.encode_special_tokens = True
    return lambda line: tokenizer.encode(line, add_special_tokens=False).ids


def by_sentencepiece(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model).encode


def main():
    goldens = {"smollm2": golden_of(plain(smollm2(sys.argv[1])))}
    for name in ["gpt-2", "smollm", *SPLITTERS]:
        tokenizer = train_byte_level(name)
        write_byte_level(name, tokenizer)
        goldens[name] = golden_of(plain(tokenizer))
        if name == "llama-bpe":
            tokenizer.post_processor = processors.TemplateProcessing(
                single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A $B", special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])
            end, turn = tokenizer.token_to_id("<|end_of_text|>"), tokenizer.token_to_id("<|eot_id|>")
            written = write_json("llama3-json", tokenizer, tokenizer_config={"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"}},
                                 generation_config={"bos_token_id": 1100, "eos_token_id": [end, turn], "pad_token_id": -1})
            goldens["llama3-json"] = golden_of(plain(written))
    llama = train_sentencepiece(**SPM_LLAMA)
    # One character of five has no piece, and there are no bytes to fall back to.
    bare = train_sentencepiece(**SPM_LLAMA | dict(byte_fallback=False, character_coverage=0.98))
    t5 = train_sentencepiece(rules=rules(), **SPM_T5)
    xlm = train_sentencepiece(**SPM_T5 | dict(normalization_rule_name="identity", byte_fallback=True, remove_extra_whitespaces=False, user_defined_symbols=["<h1>", "</code>"]))
    for name, kind, model in [
        ("spm-llama", "llama", llama), ("spm-unused", "llama", with_unused(llama)), ("spm-bare", "llama", bare),
        ("spm-gemma", "llama", train_sentencepiece(**SPM_GEMMA)), ("unigram-t5", "t5", t5), ("unigram-bytes", "t5", xlm),
    ]:
        write_sentencepiece(name, kind, model)
        goldens[name] = golden_of(by_sentencepiece(model))
    goldens["llama2-json"] = golden_of(plain(write_json(
        "llama2-json", sentencepiece_bpe_as_json(llama), tokenizer_config={"bos_token": "<s>", "eos_token": "</s>", "pad_token": None, "add_bos_token": True, "add_eos_token": False})))
    goldens["t5-json"] = golden_of(plain(write_json("t5-json", unigram_as_json(t5), tokenizer_config={"eos_token": "</s>", "pad_token": "<pad>"})))
    for name, lowercase in [("bert", True), ("bert-cased", False)]:
        tokenizer = train_word_piece(lowercase)
        write_word_piece(name, tokenizer, lowercase)
        goldens[name] = golden_of(plain(tokenizer))
        if lowercase:
            goldens["bert-json"] = golden_of(plain(write_json("bert-json", tokenizer, tokenizer_config={"cls_token": "[CLS]"})))
    rows = [f"{json.dumps(name)}:{json.dumps(golden, separators=(',', ':'))}" for name, golden in goldens.items()]
    (FOLDER / "ids.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
