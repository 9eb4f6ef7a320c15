"""Jobs side by side: all come to their end before any failure is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lab.base.errors import ApplyError, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs side by side and wait for all. Raises the only error, or ApplyError with them all."""
    if not jobs:
        return
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
    raise_together([error for future in futures if (error := future.exception())])


def raise_together(errors: list[BaseException]) -> None:
    """Raise nothing, the only error, or all of them as one; a bug (no LabError) is raised as it is."""
    for error in errors:
        if not isinstance(error, LabError):
            raise error
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ApplyError(tuple(error for error in errors if isinstance(error, LabError)))
