"""Python's `logging`, as lines of the process's log. `@remit.agent` sets it up."""

import logging

from wit_world.imports import trace

LEVELS = [
    (logging.ERROR, trace.Level.ERROR),
    (logging.WARNING, trace.Level.WARN),
    (logging.INFO, trace.Level.INFO),
    (logging.DEBUG, trace.Level.DEBUG),
]


class Handler(logging.Handler):
    """Each record is a line; more than 8 KiB of it are cut."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for number, level in LEVELS if record.levelno >= number), trace.Level.TRACE)
        trace.log(level, self.format(record))


def install() -> None:
    """Every logger's records go there."""
    logging.basicConfig(level=logging.DEBUG, handlers=[Handler()], format="%(message)s", force=True)
