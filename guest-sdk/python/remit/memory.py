"""What agents remember. The manifest asks for it with `[[wants.memory]]`."""

from dataclasses import dataclass
from typing import Iterable

from wit_world.imports import capability
from wit_world.imports import memory as raw

from .errors import translated
from .values import Value, content


@dataclass(frozen=True)
class Hit:
    """An entry that was found: its content is unread."""

    entry: int
    content: Value
    score: float


class Memory:
    """The stores of a grant."""

    def __init__(self, grant: capability.Grant):
        self.grant = grant

    @classmethod
    def take(cls, label: str) -> "Memory":
        """The stores of the grant under a label."""
        with translated():
            return cls(capability.take(label))

    def put(self, text: str | Value, tags: Iterable[str] = (), importance: float = 0.5) -> int:
        """Writes a new entry, and answers its number."""
        particulars = raw.Particulars(list(tags), [], importance, None)
        with translated():
            return raw.put(self.grant, content(text), particulars, None)

    def search(self, text: str | Value, count: int = 5, tags: Iterable[str] = ()) -> list[Hit]:
        """The likest entries, by words and by meaning, that have all of the tags."""
        filter = [[raw.Condition_Tagged(tag)] for tag in tags]
        weighting = raw.Weighting(recency=0.0, half_life_seconds=86_400, importance=0.0, diversity=0.0)
        with translated():
            hits = raw.search(self.grant, raw.Likeness_Both(content(text)), filter, None, weighting, count)
        return [Hit(hit.entry, Value(hit.content), hit.score) for hit in hits]

    def forget(self, entries: Iterable[int], purge: bool = False) -> int:
        """Forgets entries, with `purge` for good; how many there were."""
        with translated():
            return raw.forget(self.grant, raw.Selection_Entries(list(entries)), purge)
