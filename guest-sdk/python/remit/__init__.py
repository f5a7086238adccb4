"""What an agent's author imports.

An agent is a function. It gets a task, asks the kernel for what it needs, and shows what it has:

    import remit
    from remit.model import Model

    @remit.agent
    def run(task):
        model = Model.take("chat")
        for piece in model.stream(task.messages(), max_tokens=200):
            remit.emit(piece)

What it asks for stands in its manifest, `remit.toml`; what it got is in its grants. Modules that need a grant are imported by
their own names, since a component has only the interfaces that its manifest asks for:

| to | import | the manifest asks for |
| --- | --- | --- |
| use a model | `remit.model` | `[[wants.models]]` |
| have a tool act | `remit.tool` | `[[wants.tools]]` |
| remember, and look up what was remembered | `remit.memory` | `[[wants.memory]]` |
| all else of the kernel | `wit_world.imports`, the generated bindings | the kind that the interface belongs to |
"""

from .checkpoint import commit
from .entry import Outcome, agent, complete, partial
from .errors import Denied, Error, Failure, OutOfBudget
from .messages import Message, assistant, system, user
from .task import Input, Task, artifact, emit, progress
from .values import Label, Value

__all__ = [
    "Denied",
    "Error",
    "Failure",
    "Input",
    "Label",
    "Message",
    "OutOfBudget",
    "Outcome",
    "Task",
    "Value",
    "agent",
    "artifact",
    "assistant",
    "commit",
    "complete",
    "emit",
    "partial",
    "progress",
    "system",
    "user",
]
