"""What goes wrong, as exceptions of one sentence each.

The bindings raise `Err` with a variant in it, which says what it is by its class alone. Here it becomes a sentence.
"""

import re
from contextlib import contextmanager
from enum import Enum

from componentize_py_types import Err
from wit_world.imports.types import Shortfall

DENIALS = {
    "NotGranted": "no grant {}: ask for it in the manifest's [wants] and run with --grant {}",
    "Revoked": "the grant {} was revoked: ask its owner for a new one",
    "Expired": "the grant {} has expired: ask its owner for a new one",
    "Exhausted": "the grant {} is used up: ask its owner for more uses",
    "Exceeded": "the grant {} does not go that far: lower max_tokens or ask for a wider grant",
    "OutOfScope": "the grant {} does not open that: ask for a grant whose scope has it",
    "Tainted": "the grant {} takes no data of this label: leave out what is untrusted or secret, or ask for a higher ceiling",
}

MICRO = 1_000_000


class Failure(Exception):
    """What an agent raises when it cannot do its work: one sentence that says what failed, why, and what to do."""

    def __init__(self, message: str, retryable: bool = False):
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class Error(Failure):
    """What the kernel answered instead of doing what it was asked. `variant` is the answer as the bindings have it."""

    def __init__(self, variant: object):
        super().__init__(sentence(variant), retryable=_case(variant) in ("Unavailable", "Closed"))
        self.variant = variant


class Denied(Error):
    """A missing right."""


class OutOfBudget(Error):
    """The account cannot pay what comes next. What was done until then can be of use: see `remit.partial`."""


@contextmanager
def translated():
    """Turns what the bindings raise into an `Error`."""
    try:
        yield
    except Err as error:
        raise of(error.value) from None


def of(variant: object) -> Error:
    """The exception of an answer."""
    inner = getattr(variant, "value", None)
    if _is_denial(variant) or _is_denial(inner):
        return Denied(variant)
    if isinstance(variant, Shortfall) or isinstance(inner, Shortfall):
        return OutOfBudget(variant)
    return Error(variant)


def sentence(variant: object) -> str:
    """An answer of the kernel, in words."""
    value = getattr(variant, "value", None)
    if _is_denial(variant):
        if _case(variant) == "TooFast":
            return f"the grant {value.grant} is used too fast: wait {value.retry_after_ms} ms, or ask for a higher rate"
        return DENIALS.get(_case(variant), "the grant {} is denied").format(value, value)
    if _is_denial(value) or isinstance(value, Shortfall):
        return sentence(value)
    if isinstance(variant, Shortfall):
        needed, remaining = variant.needed / MICRO, variant.remaining / MICRO
        return (
            f"the budget is too small: {needed:g} tokens are needed and {remaining:g} are left; run with a larger --budget"
        )
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _case(variant)).replace("_", " ").lower()
    if value is None or hasattr(value, "read"):
        return words
    return f"{words}: {value}"


def _case(variant: object) -> str:
    """`LlmError_TooLong` is `TooLong`."""
    if isinstance(variant, Enum):
        return variant.name
    return type(variant).__name__.rpartition("_")[2]


def _is_denial(value: object) -> bool:
    return type(value).__name__.startswith("Denial_")
