"""Makes `tensors.safetensors`: a file as Python writes it, with every type that is read.

    pip install safetensors==0.8.0 torch==2.15.0
    python tensors.py

A person runs this by hand. CI never runs it: the file is committed, and the Rust test knows what it holds.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

numbers = torch.arange(-3, 3, dtype=torch.float32).reshape(2, 3) / 4
tensors = {
    "single": numbers,
    "half": numbers.to(torch.float16),
    "brain": numbers.to(torch.bfloat16),
    "scalar": torch.tensor(0.5),
    "empty": torch.zeros(0, 4),
    "ids": torch.arange(3),
}
save_file(tensors, Path(__file__).parent / "tensors.safetensors", metadata={"format": "pt"})
