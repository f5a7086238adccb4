"""The task that the process was started for, and what it shows while it works."""

from dataclasses import dataclass

from wit_world.imports import task as raw

from .errors import translated
from .messages import Message
from .values import Value, content


@dataclass(frozen=True)
class Input:
    """One message of the conversation: `role` is `system`, `user` or `assistant`."""

    role: str
    content: Value


@dataclass(frozen=True)
class Task:
    """What is to be done. Oldest message first; the last one is the newest request."""

    conversation: list[Input]

    @property
    def request(self) -> Value | None:
        """The newest message of the user, unread."""
        asked = (input.content for input in reversed(self.conversation) if input.role == "user")
        return next(asked, None)

    def messages(self) -> list[Message]:
        """The conversation as messages for a model. Nothing is read."""
        return [Message(input.role, input.content) for input in self.conversation]


def of(task: raw.Task) -> Task:
    """As the bindings have it."""
    return Task([Input(input.role.name.lower(), Value(input.content)) for input in task.conversation])


def emit(text: str | Value) -> None:
    """Shows more of the answer: at most 1 MiB a call. Waits while the listener is behind. Of an empty text, nothing is shown."""
    if isinstance(text, Value) or text:
        with translated():
            raw.emit(raw.Event_Text(content(text)))


def progress(done: int, total: int | None = None, note: str = "") -> None:
    """Shows how far the work is."""
    with translated():
        raw.emit(raw.Event_Progress(raw.Progress(done, total, note)))


def artifact(name: str, of: str | Value) -> None:
    """Hands over a finished piece of work besides the answer, under a file name without a folder."""
    with translated():
        raw.emit(raw.Event_Artifact(raw.Artifact(name, content(of))))
