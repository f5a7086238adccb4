"""Answers a question, and shows the answer as it comes."""

import remit
from remit.model import Model

SYSTEM = "You are a helpful assistant. Answer in a few sentences."


@remit.agent
def run(task):
    if not task.request:
        raise remit.Failure("there is no question: give one as input")
    try:
        finish = answer(task)
    except remit.OutOfBudget:
        finish = "budget"
    if finish == "stop":
        remit.emit("\n")
        return remit.complete()
    # What was shown so far is of use: the outcome says that it is not all.
    remit.emit("\n[The answer ends here: there is no room or no budget for more.]\n")
    return remit.partial()


def answer(task):
    """Puts the conversation to the model, unread: what the agent has not read cannot mislead it."""
    stream = Model.take("chat").stream([remit.system(SYSTEM), *task.messages()], max_tokens=400)
    for piece in stream:
        remit.emit(piece)
    return stream.summary.finish
