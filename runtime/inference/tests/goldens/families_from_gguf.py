"""Checks the GGUF side of the families' goldens with a second reader.

    python3 families_from_gguf.py      # needs gguf beside what families.py needs

`families.py` undoes GGUF's permutation, offsets and stacking by itself. Here the `gguf` package writes the same tensors to
a file, `transformers` reads it with its own GGUF loader, and the logits have to be the golden's. Its loader does not know
every rotary scaling, so that the configuration comes from the golden.
"""

import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
import transformers

from families import HERE, numbers


def logits(case, folder):
    metadata = case["gguf"]["metadata"]
    writer = gguf.GGUFWriter(f"{folder}/model.gguf", metadata["general.architecture"])
    for key, value in metadata.items():
        if key != "general.architecture":
            kind = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            (writer.add_string if isinstance(value, str) else kind)(key, value)
    for name, shape, *rest in case["gguf"]["tensors"]:
        writer.add_tensor(name, np.array(rest[0], np.float32) if len(rest) == 1 else numbers(name, shape, *rest))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", config=transformers.AutoConfig.for_model(**case["json"]["config"]),
        dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model.eval()(torch.tensor([case["tokens"]]), use_cache=False).logits[0][case["positions"]].numpy()


for path in sorted(HERE.glob("*.json")):
    for case in json.loads(path.read_text())["cases"]:
        # Its loader cannot map mistral's names.
        if "gguf" not in case or path.stem == "mistral":
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, expected = logits(case, folder), np.array(case["gguf"]["logits"])
        error = abs(found - expected).max() / abs(expected).max()
        print(path.stem, case["name"], f"{error:.1e}")
        assert error < 1e-6
