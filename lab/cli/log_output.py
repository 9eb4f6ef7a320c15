"""What `-v` prints: the log's records, on stderr. Imported only then, for the sake of `--help`."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = "halab"


class EchoHandler(logging.Handler):
    """Prints records to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        click.echo(self.format(record), err=True)


def begin() -> Callable[[], None]:
    """Print the log's records from now on; return what ends it."""
    handler = EchoHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)8.0f ms  %(name)s: %(message)s"))
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return partial(logger.removeHandler, handler)
