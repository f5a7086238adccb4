"""Measures llama.cpp through `llama-cpp-python`, as `benches/inference` measures our own engine.

    measure_llama_cpp.py FILE THREADS PREFILL STEPS

reads a line at a time, `prefill` or `decode STREAMS`, measures that once, and prints tokens/s; the first line that it prints is
its version. `measure_llama_cpp.py requantize FROM TO FTYPE` writes a file of another type (ftype as in llama.h).
"""

import ctypes
import sys
import time

import llama_cpp as llama
import numpy

PROMPT = 32
# Rows that a step is cut into; which is best depends on the machine's caches.
PREFILL_ROWS = [512, 256, 64]


def requantize(source, target, ftype):
    params = llama.llama_model_quantize_default_params()
    params.ftype = int(ftype)
    params.allow_requantize = True
    failed = llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    sys.exit(failed)


class Batch:
    """Rows of one step."""

    def __init__(self, size):
        self.batch = llama.llama_batch_init(size, 0, 1)
        self.batch.n_tokens = 0

    def add(self, token, position, sequence, logits):
        row = self.batch.n_tokens
        self.batch.token[row] = token
        self.batch.pos[row] = position
        self.batch.n_seq_id[row] = 1
        self.batch.seq_id[row][0] = sequence
        self.batch.logits[row] = logits
        self.batch.n_tokens += 1

    def compute(self, context):
        if llama.llama_decode(context, self.batch) != 0:
            sys.exit("llama_decode failed")
        llama.llama_synchronize(context)
        self.batch.n_tokens = 0


def token(index):
    return index * 7919 % 40000 + 100


def open_context(model, streams, tokens, threads, rows=512):
    params = llama.llama_context_default_params()
    params.n_ctx = streams * tokens
    params.n_batch = max(512, streams * PROMPT)
    params.n_ubatch = rows
    params.n_threads = threads
    params.n_threads_batch = threads
    params.n_seq_max = streams
    return llama.llama_init_from_model(model, params)


def prefill(model, threads, tokens, rows):
    context = open_context(model, 1, tokens, threads, rows)
    batch = Batch(tokens)
    for position in range(tokens):
        batch.add(token(position), position, 0, position == tokens - 1)
    begin = time.perf_counter()
    batch.compute(context)
    speed = tokens / (time.perf_counter() - begin)
    llama.llama_free(context)
    return speed


def decode(model, threads, streams, steps, vocabulary):
    context = open_context(model, streams, PROMPT + steps, threads)
    batch = Batch(streams * PROMPT)
    for sequence in range(streams):
        for position in range(PROMPT):
            batch.add(token(position), position, sequence, position == PROMPT - 1)
    batch.compute(context)
    following = [5] * streams
    begin = time.perf_counter()
    for step in range(steps):
        for sequence in range(streams):
            batch.add(following[sequence], PROMPT + step, sequence, True)
        batch.compute(context)
        for sequence in range(streams):
            logits = llama.llama_get_logits_ith(context, sequence)
            following[sequence] = int(numpy.ctypeslib.as_array(logits, shape=(vocabulary,)).argmax())
    speed = streams * steps / (time.perf_counter() - begin)
    llama.llama_free(context)
    return speed


def main():
    if sys.argv[1] == "requantize":
        requantize(*sys.argv[2:5])
    path, threads, prefill_tokens, steps = sys.argv[1], *map(int, sys.argv[2:5])
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    print(llama.__version__, flush=True)
    for line in sys.stdin:
        match line.split():
            case ["prefill"]:
                speed = max(prefill(model, threads, prefill_tokens, rows) for rows in PREFILL_ROWS)
            case ["decode", streams]:
                speed = decode(model, threads, int(streams), steps, vocabulary)
            case _:
                sys.exit(f"neither `prefill` nor `decode STREAMS`: {line!r}")
        print(speed, flush=True)


if __name__ == "__main__":
    main()
