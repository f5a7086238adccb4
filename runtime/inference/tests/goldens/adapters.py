"""Makes the goldens of LoRA adapters: `families/adapters.json`, in the form that `families.py` describes, with an adapter as
`peft` reads it beside each base: cases[].adapter has its `config` and `tensors`, and the logits are those with it."""

import contextlib
import io
import json
import pathlib
import tempfile

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import save_file

import families
from families import COMMON, HERE, case, numbers


def adapter_tensors(model, config):
    """Names and shapes as in the file: of each target A and B."""
    with contextlib.redirect_stdout(io.StringIO()):
        state = peft.get_peft_model_state_dict(peft.get_peft_model(model, config))
    return [[name, list(value.shape), 0.5, 0.0] for name, value in sorted(state.items())]


def with_adapter(config, tensors, saved):
    """Patches `from_pretrained` so that `families.case` computes with the adapter."""
    plain = transformers.AutoModelForCausalLM.from_pretrained

    def load(folder, **arguments):
        model, info = plain(folder, **arguments)
        if not tensors:
            tensors.extend(adapter_tensors(model, config))
            model, info = plain(folder, **arguments)
        with tempfile.TemporaryDirectory() as own:
            config.save_pretrained(own)
            saved.update(json.loads(pathlib.Path(f"{own}/adapter_config.json").read_text()))
            # The same file whenever it is made: no temporary folder, no order of a set.
            saved["base_model_name_or_path"] = None
            saved["target_modules"].sort()
            values = {name: torch.from_numpy(np.ascontiguousarray(numbers(name, shape, scale, offset)))
                      for name, shape, scale, offset in tensors}
            save_file(values, f"{own}/adapter_model.safetensors", metadata={"format": "pt"})
            return peft.PeftModel.from_pretrained(model, own), info

    return load


def adapted(name, family, architecture, base, **lora):
    config = peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **lora)
    tensors, saved = [], {}
    plain = transformers.AutoModelForCausalLM.from_pretrained
    transformers.AutoModelForCausalLM.from_pretrained = with_adapter(config, tensors, saved)
    try:
        golden = case(name, family, architecture, base)
    finally:
        transformers.AutoModelForCausalLM.from_pretrained = plain
    return golden | {"adapter": {"config": saved, "tensors": tensors}}


def main():
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    cases = [
        adapted("every matrix", "llama", "llama", transformers.LlamaConfig(**COMMON), r=4, lora_alpha=8, target_modules=every),
        adapted("some, scaled by the root of the rank", "qwen2", "qwen2", transformers.Qwen2Config(**COMMON),
                r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"], use_rslora=True),
        adapted("fused ones", "phi3", "phi3", transformers.Phi3Config(**COMMON), r=2, lora_alpha=2,
                target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    ]
    made = f"adapters.py, peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    families.write("adapters", {"made_with": made, "cases": cases})


main()
