"""Jobs side by side: all of them end before any error is raised."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from lab.base.errors import ApplyError, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def attempt_all(jobs: Sequence[Callable[[], T]]) -> tuple[list[T], list[BaseException]]:
    """Run jobs side by side and wait for all; return results and errors, in the jobs' order."""
    if not jobs:
        return [], []
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
    errors = [error for future in futures if (error := future.exception())]
    return [future.result() for future in futures if not future.exception()], errors


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs side by side and wait for all. Raise as `raise_together` does."""
    raise_together(attempt_all(jobs)[1])


def raise_first(errors: Sequence[BaseException]) -> None:
    """Raise the first error, if any; a bug (no LabError) comes before all others."""
    bugs = [error for error in errors if not isinstance(error, LabError)]
    for error in (*bugs, *errors):
        raise error


def raise_together(errors: Sequence[BaseException]) -> None:
    """Raise the only error, or ApplyError with all of them; nothing if there is none.

    A bug (no LabError) is raised as it is.
    """
    for error in errors:
        if not isinstance(error, LabError):
            raise error
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ApplyError(tuple(error for error in errors if isinstance(error, LabError)))
