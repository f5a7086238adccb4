"""Lets the agents of `tests/benches/agents` talk to llama.cpp through `llama-cpp-python`: the best that its library's functions give.

    run_agents_llama_cpp.py FILE < TASK

TASK is JSON (see `tests/benches/agents/peer.rs`). What is done for speed, all of which `llama-server` does too:

- Each step is one `llama_decode` of a token for every slot that writes, and of as much of prompts as fits into `n_batch`.
- The beginning that all agents share is computed once, and copied to a slot by sequence (`llama_memory_seq_cp`).
- A slot keeps what it has. An agent's next turn goes to its own slot if that has it still, else to the one that was used longest ago.
- Agents go on from the very tokens that were drawn: nothing is tokenized or rendered.

Prints {"tokens": drawn in the window, "seconds": until all was done or the window ended, "turns": [seconds of each that ended],
"unended": [seconds so far of the others]} as JSON.
"""

import collections
import json
import sys
import time

import llama_cpp as llama
import numpy
from measure_llama_cpp import Batch

# Rows of a step. The window of `n_ubatch` is as long: more make products no faster.
ROWS = 512


class Agent:
    """A conversation: the tokens behind the common beginning, and what comes next."""

    def __init__(self, task):
        self.thinks = task["thinks"]
        self.segments = task["segments"]
        self.turn = 0
        self.tokens = []
        self.asked = 0.0


class Slot:
    """A sequence of the context."""

    def __init__(self, sequence):
        self.sequence = sequence
        self.agent = None
        # Whether the agent waits for it.
        self.is_busy = False
        # Tokens of the agent that are computed.
        self.known = 0
        self.drawn = 0
        self.used = 0.0


class Server:
    def __init__(self, path, task):
        self.prefix = task["prefix"]
        self.output = task["output_tokens"]
        self.ends = task["ends"]
        llama.llama_backend_init()
        self.model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        slots = task["slots"]
        params = llama.llama_context_default_params()
        # With 8 agents for 12 seconds, in tokens: 585 so, 517 where it chooses attention itself; with one buffer for all 553 and 545.
        params.kv_unified = False
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_ctx = (slots + 1) * task["context_tokens"]
        params.n_batch = params.n_ubatch = ROWS
        params.n_threads = params.n_threads_batch = task["threads"]
        params.n_seq_max = slots + 1
        self.context = llama.llama_init_from_model(self.model, params)
        self.memory = llama.llama_get_memory(self.context)
        self.batch = Batch(ROWS)
        # The last sequence has the common beginning, once it is computed.
        self.slots = [Slot(sequence) for sequence in range(slots)]
        self.shared = slots
        self.begin = time.perf_counter()
        self.tokens = 0
        self.turns = []
        for begin in range(0, len(self.prefix), ROWS):
            for position, token in enumerate(self.prefix[begin : begin + ROWS], begin):
                self.batch.add(token, position, self.shared, False)
            self.batch.compute(self.context)

    def now(self):
        return time.perf_counter() - self.begin

    def take(self, agent):
        """Gives a slot to an agent, where one is free."""
        free = [slot for slot in self.slots if not slot.is_busy]
        if not free:
            return False
        slot = next((slot for slot in free if slot.agent is agent), None) or min(free, key=lambda slot: slot.used)
        if slot.agent is not agent:
            llama.llama_memory_seq_rm(self.memory, slot.sequence, -1, -1)
            llama.llama_memory_seq_cp(self.memory, self.shared, slot.sequence, -1, -1)
            slot.agent, slot.known = agent, 0
        agent.tokens += agent.segments[agent.turn]
        slot.is_busy, slot.drawn = True, 0
        return True

    def fill(self):
        """Puts a step together; answers whose rows draw."""
        drawing = []
        busy = [slot for slot in self.slots if slot.is_busy]
        # Those that write go first.
        for slot in sorted(busy, key=lambda slot: len(slot.agent.tokens) - slot.known):
            tokens = slot.agent.tokens
            count = min(len(tokens) - slot.known, ROWS - self.batch.batch.n_tokens)
            for place in range(slot.known, slot.known + count):
                is_last = place == len(tokens) - 1
                if is_last:
                    drawing.append((slot, self.batch.batch.n_tokens))
                self.batch.add(tokens[place], len(self.prefix) + place, slot.sequence, is_last)
            slot.known += count
        return drawing

    def draw(self, slot, row):
        """Takes the likeliest token; answers whether that was the turn's last."""
        logits = llama.llama_get_logits_ith(self.context, row)
        logits = numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,))
        logits[self.ends] = -numpy.inf
        slot.agent.tokens.append(int(logits.argmax()))
        slot.drawn += 1
        self.tokens += 1
        return slot.drawn == self.output

    def serve(self, agents, window):
        """Until all turns have ended, or the window has."""
        thinking = [(agent.thinks[0], number, agent) for number, agent in enumerate(agents)]
        queue = collections.deque()
        while (thinking or queue or any(slot.is_busy for slot in self.slots)) and self.now() < window:
            thinking.sort()
            while thinking and thinking[0][0] <= self.now():
                agent = thinking.pop(0)[2]
                agent.asked = self.now()
                queue.append(agent)
            while queue and self.take(queue[0]):
                queue.popleft()
            drawing = self.fill()
            if self.batch.batch.n_tokens == 0:
                time.sleep(max(0.0, min(thinking[0][0], window) - self.now()))
                continue
            self.batch.compute(self.context)
            for slot, row in drawing:
                if not self.draw(slot, row):
                    continue
                agent = slot.agent
                slot.is_busy, slot.used = False, self.now()
                self.turns.append(self.now() - agent.asked)
                agent.turn += 1
                if agent.turn < len(agent.segments):
                    thinking.append((self.now() + agent.thinks[agent.turn], agents.index(agent), agent))
        seconds = min(self.now(), window) if thinking or queue else self.now()
        waiting = list(queue) + [slot.agent for slot in self.slots if slot.is_busy]
        unended = [self.now() - agent.asked for agent in waiting]
        return {"tokens": self.tokens, "seconds": seconds, "turns": self.turns, "unended": unended}


def main():
    task = json.load(sys.stdin)
    server = Server(sys.argv[1], task)
    print(json.dumps(server.serve([Agent(agent) for agent in task["agents"]], task["window_seconds"])))


main()
