"""Progress of labs in tests, as log records: pytest shows them with a test that failed."""

from __future__ import annotations

import logging

LOG = logging.getLogger("halab.testing")


class LogReporter:
    """A Reporter that logs."""

    def say(self, subject: str, text: str) -> None:
        """Log what is done now."""
        LOG.debug("%s: %s", subject, text)

    def done(self, subject: str, text: str) -> None:
        """Log what came of it."""
        LOG.info("%s: %s", subject, text)
