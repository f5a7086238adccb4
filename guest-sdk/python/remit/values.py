"""Data that a process holds, read or unread.

Passing a `Value` on does not taint the process; reading it does, from then on and for good.
"""

from dataclasses import dataclass

from wit_world.imports import value as raw
from wit_world.imports.types import Integrity

from .errors import translated

CHUNK_BYTES = 1 << 20
"""One call reads at most so many bytes."""

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Label:
    """What went into a piece of data."""

    trusted: bool
    tags: tuple[str, ...]


class Value:
    """A handle on data."""

    def __init__(self, handle: raw.Value):
        self.raw = handle

    @classmethod
    def of(cls, data: str | bytes, media_type: str | None = None) -> "Value":
        """Makes a value of 1 MiB at most. It gets the process's label."""
        content = data.encode() if isinstance(data, str) else data
        media_type = media_type or (TEXT if isinstance(data, str) else "application/octet-stream")
        with translated():
            return cls(raw.Value.from_bytes(content, media_type))

    def __len__(self) -> int:
        """Size in bytes. Asking for it is not reading."""
        return self.raw.get_size()

    def __bool__(self) -> bool:
        return len(self) > 0

    @property
    def media_type(self) -> str:
        """RFC 6838. Asking for it is not reading."""
        return self.raw.get_media_type()

    @property
    def label(self) -> Label:
        """What went into it. Asking for it is not reading."""
        label = self.raw.get_label()
        return Label(label.integrity == Integrity.TRUSTED, tuple(label.tags))

    def read(self) -> bytes:
        """All of it; raises the process's label."""
        size, parts, offset = len(self), [], 0
        while offset < size:
            with translated():
                part = self.raw.read(offset, min(size - offset, CHUNK_BYTES))
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def text(self) -> str:
        """All of it as UTF-8; raises the process's label."""
        return self.read().decode()


def content(of: str | Value) -> raw.Content:
    """As the bindings have what is passed on: a text of one's own, or a value, unread."""
    return raw.Content_Value(of.raw) if isinstance(of, Value) else raw.Content_Text(of)
