"""Counts the words of a text, and has a model say what the text is about where it was granted one.

Asked to connect somewhere, it tries, and says what came of it: no agent has a network.
"""

import json
import re
import socket
from collections import Counter

import remit
from remit.model import Model

SHOWN = 3

SYSTEM = "Say in one sentence what the text is about."


@remit.agent
def run(task, resumed):
    if not task.request:
        raise remit.Failure("there is no text: give one as input")
    text = task.request.text()
    if text.startswith("connect "):
        remit.emit(connect(text.removeprefix("connect ").strip()))
        return remit.complete()
    state = resumed or {"counted": count(text)}
    remit.commit(state)
    print(f"counted {state['counted']['words']} words")
    remit.emit(json.dumps(state["counted"]) + "\n")
    return describe(task)


def count(text):
    words = re.findall(r"\w+", text.lower())
    return {"words": len(words), "most": Counter(words).most_common(SHOWN)}


def describe(task):
    try:
        model = Model.take("chat")
    except remit.Denied:
        return remit.complete()
    try:
        remit.emit(model.chat([remit.system(SYSTEM), *task.messages()], max_tokens=100).content)
    except remit.OutOfBudget:
        return remit.partial()
    return remit.complete()


def connect(address):
    """What Python says of it."""
    tried = {
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "name": lambda: socket.getaddrinfo(address, 80),
    }
    said = {}
    for what, attempt in tried.items():
        try:
            attempt()
            said[what] = "open"
        except OSError as error:
            said[what] = f"{type(error).__name__}: {error}"
    return json.dumps(said)
