"""Makes `quants/`: what the `gguf` package makes of some blocks of each tensor type.

    pip install gguf==0.19.0 numpy==2.4.6
    python quants.py

A person runs this by hand when a type is added. CI never runs it: the files are committed, and the Rust test reads only those.

A file is called as ggml calls the type. It holds the blocks, one behind the other, then the numbers that they hold, as little-endian
f32; the sizes of a block and of the file say how many there are. A block is random bytes, the same in each run, with chosen f16 scales:

  ordinary  two blocks of the size that weights have, one with negative scales
  zero      +0 and -0
  extreme   the largest and the smallest finite f16, under bytes that are all ones and all zeros
  tiny      the smallest and the largest subnormal f16

A type without blocks has numbers of all sizes, subnormal ones, zeros and the largest among them. None is infinite or not a number: the
reader refuses those.
"""

from pathlib import Path

import gguf
import numpy as np

SEED = 20261121
FOLDER = Path(__file__).parent / "quants"

# Where the f16 scales of a block lie (ggml-common.h).
SCALES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
}
RANDOM = None
# The bits of the scales of a block, in turn, and the byte that fills the rest.
BLOCKS = [
    ([0x211F, 0x1C35], RANDOM),
    ([0xA2B3, 0x9D01], RANDOM),
    ([0x0000, 0x8000], RANDOM),
    ([0x8000, 0x0000], RANDOM),
    ([0x7BFF, 0x7BFF], 0xFF),
    ([0x7BFF, 0xFBFF], RANDOM),
    ([0xFBFF, 0x7BFF], 0x00),
    ([0x0001, 0x83FF], RANDOM),
    ([0x83FF, 0x0001], RANDOM),
]
# The unsigned integer of as many bits, the bits of its exponent and of its fraction.
PLAIN = {"F32": (np.uint32, 8, 23), "F16": (np.uint16, 5, 10), "BF16": (np.uint16, 8, 7)}
PLAIN_COUNT = 256


def blocks_of(name, random):
    """Blocks as an array of bytes, one row each."""
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    rows = []
    for scales, fill in BLOCKS:
        row = random.integers(0, 256, size, dtype=np.uint8)
        if fill is not RANDOM:
            row[:] = fill
        for offset, scale in zip(SCALES[name], scales):
            row[offset : offset + 2] = np.array([scale], dtype="<u2").view(np.uint8)
        rows.append(row)
    return np.stack(rows)


def numbers_of(name, random):
    """Finite numbers of a type without blocks, as one row of bytes."""
    kind, exponent_bits, fraction_bits = PLAIN[name]
    exponent = random.integers(0, 2**exponent_bits - 1, PLAIN_COUNT).astype(np.uint64)
    fraction = random.integers(0, 2**fraction_bits, PLAIN_COUNT).astype(np.uint64)
    sign = random.integers(0, 2, PLAIN_COUNT).astype(np.uint64)
    exponent[:24] = 0
    exponent[24:32] = 2**exponent_bits - 2
    fraction[[0, 1]] = 0
    fraction[[2, 3]] = 1
    fraction[[4, 5, 24, 25]] = 2**fraction_bits - 1
    sign[[0, 2, 4, 24]] = 0
    sign[[1, 3, 5, 25]] = 1
    bits = (sign << np.uint64(exponent_bits + fraction_bits)) | (exponent << np.uint64(fraction_bits)) | fraction
    return bits.astype(kind).view(np.uint8).reshape(1, -1)


def main():
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(SEED)
    for name in [*PLAIN, *SCALES]:
        blocks = numbers_of(name, random) if name in PLAIN else blocks_of(name, random)
        numbers = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
        numbers = np.ascontiguousarray(numbers, dtype="<f4")
        assert np.isfinite(numbers).all(), name
        (FOLDER / f"{name}.bin").write_bytes(blocks.tobytes() + numbers.tobytes())


if __name__ == "__main__":
    main()
