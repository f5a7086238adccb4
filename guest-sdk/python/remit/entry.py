"""How an agent is called, and how it ends."""

import inspect
import logging
from dataclasses import dataclass
from typing import Any, Callable

import wit_world
from componentize_py_types import Err
from wit_world.imports import task as raw

from . import checkpoint, errors, log, task
from . import late as late
from .values import Value


@dataclass(frozen=True)
class Outcome:
    """What an agent returns when it did its work; see `complete` and `partial`."""

    is_complete: bool
    output: Value | None = None


def complete(output: Value | None = None) -> Outcome:
    """All that was asked for, with a result where there is more than what was emitted."""
    return Outcome(True, output)


def partial(output: Value | None = None) -> Outcome:
    """A usable part: the budget or a limit ended the work early."""
    return Outcome(False, output)


def agent(function: Callable[..., Outcome | None]) -> Callable[..., Outcome | None]:
    """Makes a function of a module the agent: `run(task)`, or `run(task, resumed)`, which is given the state that was committed
    last, or None. It returns an `Outcome`, or None where its work is complete.

    What it raises is its failure: a `Failure` as it says, anything else by its type and its text, with the traceback in the log.
    """
    takes_state = len(inspect.signature(function).parameters) > 1
    log.install()

    class WitWorld(wit_world.WitWorld):
        """The name under which componentize-py looks for the world's exports in the agent's module."""

        def run(self, of: raw.Task, resumed: bytes | None) -> raw.Outcome:
            return _ran(function, (of, resumed), takes_state)

    function.__globals__["WitWorld"] = WitWorld
    return function


def _ran(function: Callable[..., Any], given: tuple[raw.Task, bytes | None], takes_state: bool) -> raw.Outcome:
    try:
        arguments: list[Any] = [task.of(given[0])]
        if takes_state:
            arguments.append(checkpoint.decode(given[1]))
        outcome = function(*arguments) or complete()
    except errors.Failure as failure:
        raise _failed(failure.message, failure.retryable) from None
    except Err as error:
        failure = errors.of(error.value)
        raise _failed(failure.message, failure.retryable) from None
    except Exception as error:
        logging.exception("the agent failed")
        raise _failed(f"{type(error).__name__}: {error}", False) from None
    status = raw.Status.COMPLETE if outcome.is_complete else raw.Status.PARTIAL
    return raw.Outcome(status, outcome.output.raw if outcome.output else None)


def _failed(message: str, retryable: bool) -> Err:
    return Err(raw.Failure(message, retryable))
