"""Tools that act outside the node. The manifest asks for them with `[[wants.tools]]`."""

import json
from dataclasses import dataclass
from typing import Any

from wit_world.imports import capability
from wit_world.imports import tool as raw

from .errors import translated
from .values import Value, content


@dataclass(frozen=True)
class Description:
    """What a tool is, as an agent may show it to a model; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


def describe(label: str) -> list[Description]:
    """The tools that a grant opens, as far as they are declared."""
    with translated():
        tools = raw.describe(capability.take(label))
    schema = lambda text: json.loads(text) if text else {"type": "object"}
    return [Description(tool.name, tool.description, schema(tool.parameters)) for tool in tools]


def call(label: str, arguments: dict[str, Any] | Value, name: str | None = None) -> Value:
    """Has a tool act, and waits: what it says, unread. `name` says which, where the grant opens several."""
    with translated():
        grant = capability.take(label)
        if name is not None and grant.get_info().scope != [name]:
            limits = capability.Limits(None, None, None, None, None)
            grant = grant.attenuate(name, capability.Narrowing([name], None, limits))
        said = content(arguments if isinstance(arguments, Value) else json.dumps(arguments, ensure_ascii=False))
        return Value(raw.call(grant, said).get())
