"""Makes the goldens of the encoder: `families/bert.json`, in the form that `families.py` describes, with one embedding in
place of logits: the mean of the last hidden state over all positions, at length one."""

import json
import tempfile
import pathlib

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from families import numbers, write

BLOCK = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
OUTSIDE = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
}


def gguf_name(name):
    """As llama.cpp's converter names a tensor."""
    stem, end = name.rsplit(".", 1)
    if stem in OUTSIDE:
        return f"{OUTSIDE[stem]}.{end}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{BLOCK[rest]}.{end}"


def scale_of(name, shape):
    if "LayerNorm.weight" in name:
        return 0.3, 1.0
    if len(shape) == 1:
        return 0.4, 0.0
    return (1.0 if "embeddings" in name else 2.5 / shape[1] ** 0.5), 0.0


def embedding(config, state, tokens):
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        save_file({name: torch.from_numpy(values) for name, values in state.items()}, f"{folder}/model.safetensors",
                  metadata={"format": "pt"})
        saved = json.loads(pathlib.Path(f"{folder}/config.json").read_text())
        model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32,
                                                       attn_implementation="eager")
    with torch.no_grad():
        mean = model.eval()(torch.tensor([tokens])).last_hidden_state[0].mean(0)
    return saved, [float(f"{float(value):.9g}") for value in torch.nn.functional.normalize(mean, dim=0)]


def main():
    config = transformers.BertConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=80,
                                     vocab_size=96, max_position_embeddings=40, layer_norm_eps=1e-12, pad_token_id=None)
    shapes = {name: list(value.shape) for name, value in
              transformers.BertModel(config, add_pooling_layer=False).state_dict().items()}
    cases = []
    for tokens in ([1, 50, 7, 90, 2], [(index * 37 + index * index * 5 + 11) % 96 for index in range(40)]):
        lists, states = {"gguf": [], "json": []}, {"gguf": {}, "json": {}}
        for name, shape in shapes.items():
            scale, offset = scale_of(name, shape)
            for kind, own in (("gguf", gguf_name(name)), ("json", name)):
                lists[kind].append([own, shape, scale, offset])
                states[kind][name] = np.ascontiguousarray(numbers(own, shape, scale, offset))
        saved, found = embedding(config, states["json"], tokens)
        metadata = {"general.architecture": "bert", "bert.block_count": 3, "bert.context_length": 40,
                    "bert.embedding_length": 32, "bert.feed_forward_length": 80, "bert.attention.head_count": 4,
                    "bert.attention.layer_norm_epsilon": 1e-12, "bert.attention.causal": False, "bert.pooling_type": 1}
        cases.append({"name": f"{len(tokens)} tokens", "tokens": tokens,
                      "json": {"config": saved, "tensors": lists["json"], "embedding": found},
                      "gguf": {"metadata": metadata, "tensors": lists["gguf"],
                               "embedding": embedding(config, states["gguf"], tokens)[1]}})
    made = f"encoder.py, transformers {transformers.__version__}, torch {torch.__version__}"
    write("bert", {"made_with": made, "cases": cases})


main()
