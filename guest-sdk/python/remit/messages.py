"""Messages of a conversation."""

from dataclasses import dataclass, field
from typing import Any

from .values import Value


@dataclass(frozen=True)
class ToolCall:
    """A call that a model asks for. To run it is the agent's."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """What a call came to."""

    id: str
    content: str | Value


@dataclass(frozen=True)
class Message:
    """What somebody said: a text, or a value that nobody need have read."""

    role: str
    content: str | Value = ""
    calls: list[ToolCall] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)


def system(content: str | Value) -> Message:
    """What the model is told before all else."""
    return Message("system", content)


def user(content: str | Value = "", results: list[ToolResult] | None = None) -> Message:
    """What the user says, and what earlier calls came to."""
    return Message("user", content, results=results or [])


def assistant(content: str | Value = "", calls: list[ToolCall] | None = None) -> Message:
    """What the model said, and what it asked for."""
    return Message("assistant", content, calls=calls or [])
