"""The state to go on from: whatever `json` can write."""

import json
from typing import Any

from wit_world.imports import checkpoint as raw

from .errors import Failure, translated


def commit(state: Any) -> None:
    """From here on, a restart after a failure calls the agent with this state, and so may a host that starts anew."""
    with translated():
        raw.commit(json.dumps(state, ensure_ascii=False).encode())


def decode(state: bytes | None) -> Any:
    """The state that was committed last."""
    if state is None:
        return None
    try:
        return json.loads(state)
    except ValueError:
        raise Failure(
            f"the saved state of {len(state)} bytes does not fit this agent: run the version that wrote it, or start the"
            " task anew"
        ) from None
