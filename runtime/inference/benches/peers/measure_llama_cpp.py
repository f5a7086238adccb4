"""Measures llama.cpp through `llama-cpp-python`, as `benches/inference.rs` measures our own engine.

    measure_llama_cpp.py FILE THREADS PREFILL STEPS STREAMS...

prints {"version": ..., "system": ..., "prefill": tokens/s, "decode": {streams: tokens/s}} as JSON: the best of some
repetitions each. `measure_llama_cpp.py requantize FROM TO FTYPE` writes a file of another type (ftype as in llama.h).
"""

import ctypes
import json
import sys
import time

import llama_cpp as llama
import numpy

REPETITIONS = 4
PROMPT = 32


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


def open_context(model, streams, tokens, threads):
    params = llama.llama_context_default_params()
    params.n_ctx = streams * tokens
    params.n_batch = max(512, streams * PROMPT)
    params.n_ubatch = 512
    params.n_threads = threads
    params.n_threads_batch = threads
    params.n_seq_max = streams
    return llama.llama_init_from_model(model, params)


def prefill(model, threads, tokens):
    context = open_context(model, 1, tokens, threads)
    batch = Batch(tokens)
    best = 0.0
    for _ in range(REPETITIONS):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        for position in range(tokens):
            batch.add(token(position), position, 0, position == tokens - 1)
        begin = time.perf_counter()
        batch.compute(context)
        best = max(best, tokens / (time.perf_counter() - begin))
    llama.llama_free(context)
    return best


def decode(model, threads, streams, steps, vocabulary):
    context = open_context(model, streams, PROMPT + steps, threads)
    batch = Batch(streams * PROMPT)
    best = 0.0
    for _ in range(REPETITIONS):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
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
        best = max(best, streams * steps / (time.perf_counter() - begin))
    llama.llama_free(context)
    return best


def main():
    if sys.argv[1] == "requantize":
        requantize(*sys.argv[2:5])
    path, threads, prefill_tokens, steps = sys.argv[1], *map(int, sys.argv[2:5])
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    found = {
        "version": llama.__version__,
        "system": llama.llama_print_system_info().decode(),
        "prefill": prefill(model, threads, prefill_tokens),
        "decode": {streams: decode(model, threads, int(streams), steps, vocabulary) for streams in sys.argv[5:]},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
