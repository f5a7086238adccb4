"""Inference. The manifest asks for it with `[[wants.models]]`."""

import json
import struct
from dataclasses import dataclass
from typing import Any, Iterable, Iterator

from wit_world.imports import capability
from wit_world.imports import llm as raw
from wit_world.imports.types import Role

from .errors import translated
from .messages import Message, ToolCall
from .values import Value, content

MAX_TOKENS = 256
"""Output tokens of a call that names no limit: a few paragraphs."""


@dataclass(frozen=True)
class Tool:
    """A tool that a model may ask for; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Params:
    """How a generation is made. `json_schema`, `regex`, `choice` and `grammar`: what the answer has to look like, one of them at
    most. `tool_choice` is `auto`, `required`, `none`, or a tool's name."""

    max_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    typical_p: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    speculation: bool = False
    json_schema: dict[str, Any] | None = None
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    grammar: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"


@dataclass(frozen=True)
class Summary:
    """What a generation came to. `finish` is `stop`, `length`, `budget`, `cancelled` or `tool_calls`; tokens are the model's own,
    and `paid` is in micro-tokens of the account."""

    finish: str
    input: int
    cached: int
    output: int
    paid: int


class Completion:
    """A whole answer, unread."""

    def __init__(self, completion: raw.Completion):
        self.content = Value(completion.content)
        self.summary = _summary(completion.summary)
        self._calls = Value(completion.calls) if completion.calls else None

    def text(self) -> str:
        """What the model says; reading it raises the process's label."""
        return self.content.text()

    def calls(self) -> list[ToolCall]:
        """What it asks for; reading it raises the process's label."""
        return _calls(self._calls.read()) if self._calls else []


class Stream:
    """An answer as it comes: an iterator of texts. `calls` and `summary` are there at the end."""

    def __init__(self, generation: raw.Generation):
        self.generation = generation
        self.calls: list[ToolCall] = []
        self.summary: Summary | None = None

    def __iter__(self) -> Iterator[str]:
        while self.summary is None:
            with translated():
                delta = self.generation.next()
            if isinstance(delta, raw.Delta_Text):
                yield delta.value
            elif isinstance(delta, raw.Delta_ToolCall):
                call = delta.value
                self.calls.append(ToolCall(call.id, call.name, json.loads(call.arguments)))
            elif isinstance(delta, raw.Delta_End):
                self.summary = _summary(delta.value)

    def cancel(self) -> None:
        """Ends it before its next token."""
        self.generation.cancel()


class Model:
    """A model that was opened through a grant."""

    def __init__(self, model: raw.Model, limit: int | None):
        self.raw = model
        self.limit = limit

    @classmethod
    def take(cls, label: str) -> "Model":
        """The model of the grant under a label."""
        with translated():
            grant = capability.take(label)
            return cls(raw.Model.open(grant), grant.get_info().limits.max_tokens_per_call)

    def chat(self, messages: Iterable[Message], **params: Any) -> Completion:
        """Answers a conversation, when all of the answer is there. Parameters are those of `Params`."""
        chosen = Params(**params)
        with translated():
            return Completion(self.raw.chat(_conversation(messages, chosen), self._params(chosen)))

    def stream(self, messages: Iterable[Message], **params: Any) -> Stream:
        """Answers a conversation as a stream. Parameters are those of `Params`."""
        chosen = Params(**params)
        with translated():
            return Stream(self.raw.chat_stream(_conversation(messages, chosen), self._params(chosen)))

    def count_tokens(self, messages: Iterable[Message]) -> int:
        """How many tokens a conversation has, exactly as a generation would see it."""
        with translated():
            return self.raw.count_tokens(raw.Prompt_Chat(_conversation(messages, Params())))

    def embed(self, texts: Iterable[str | Value]) -> list[list[float]]:
        """The texts as vectors of length one. After this the process has read them all."""
        with translated():
            return self.raw.embed([content(text) for text in texts])

    def _params(self, chosen: Params) -> raw.Params:
        most = MAX_TOKENS if self.limit is None else min(MAX_TOKENS, self.limit)
        return raw.Params(
            max_tokens=most if chosen.max_tokens is None else chosen.max_tokens,
            sampling=raw.Sampling(
                chosen.temperature, chosen.top_k, chosen.typical_p, chosen.top_p, chosen.min_p, chosen.seed
            ),
            penalties=raw.Penalties(repetition=1.0, frequency=0.0, presence=0.0, window=64),
            logit_bias=[],
            stop=list(chosen.stop),
            stop_tokens=[],
            logprobs=None,
            speculation=chosen.speculation,
            format=_format(chosen),
        )


def _format(chosen: Params) -> raw.OutputFormat:
    if chosen.json_schema is not None:
        return raw.OutputFormat_JsonSchema(json.dumps(chosen.json_schema))
    if chosen.regex is not None:
        return raw.OutputFormat_Regex(chosen.regex)
    if chosen.choice is not None:
        return raw.OutputFormat_Choice(list(chosen.choice))
    if chosen.grammar is not None:
        return raw.OutputFormat_Grammar(chosen.grammar)
    return raw.OutputFormat_Any()


def _conversation(messages: Iterable[Message], chosen: Params) -> raw.Conversation:
    tools = [raw.Tool(tool.name, tool.description, json.dumps(tool.parameters)) for tool in chosen.tools]
    plain = {"auto": raw.ToolChoice_Auto, "required": raw.ToolChoice_Required, "none": raw.ToolChoice_None_}
    choice = plain[chosen.tool_choice]() if chosen.tool_choice in plain else raw.ToolChoice_Named(chosen.tool_choice)
    return raw.Conversation([_message(message) for message in messages], raw.Toolset(tools, choice) if tools else None)


def _message(message: Message) -> raw.Message:
    parts: list[raw.Part] = []
    if isinstance(message.content, Value) or message.content or not (message.calls or message.results):
        parts.append(raw.Part_Text(content(message.content)))
    for call in message.calls:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        parts.append(raw.Part_ToolCall(raw.ToolCall(call.id, call.name, arguments)))
    for result in message.results:
        parts.append(raw.Part_ToolResult(raw.ToolResult(result.id, content(result.content))))
    return raw.Message(Role[message.role.upper()], parts)


def _summary(summary: raw.Summary) -> Summary:
    usage = summary.usage
    return Summary(summary.finish.name.lower(), usage.input, usage.cached, usage.output, summary.paid)


def _calls(packed: bytes) -> list[ToolCall]:
    """Of `application/vnd.remit.calls`: an id, a name and arguments each, each with its length before it."""
    texts, offset = [], 0
    while offset < len(packed):
        (length,) = struct.unpack_from("<I", packed, offset)
        texts.append(packed[offset + 4 : offset + 4 + length].decode())
        offset += 4 + length
    return [ToolCall(*texts[at : at + 2], json.loads(texts[at + 2])) for at in range(0, len(texts), 3)]
