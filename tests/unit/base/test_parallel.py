from __future__ import annotations

import threading

import pytest

from lab.base.errors import ApplyError, LabError
from lab.base.parallel import attempt_all, raise_first, raise_together, run_all


def refuse(error: Exception) -> None:
    raise error


def test_attempt_all_returns_results_and_errors_in_the_order_of_the_jobs() -> None:
    error = LabError("no")
    results, errors = attempt_all([lambda: 1, lambda: refuse(error), lambda: 3])
    assert (results, errors) == ([1, 3], [error])
    assert attempt_all([]) == ([], [])


def test_run_all_ends_every_job_before_it_raises() -> None:
    failed, done = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        raise LabError("the first")

    def go_on() -> None:
        assert failed.wait(10)
        done.set()

    with pytest.raises(LabError, match="the first"):
        run_all([fail, go_on])
    assert done.is_set()


def test_raise_together_raises_one_error_as_it_is_and_several_as_one() -> None:
    raise_together([])
    with pytest.raises(ApplyError) as caught:
        raise_together([LabError("one"), LabError("two")])
    assert "one" in str(caught.value)
    assert "two" in str(caught.value)


@pytest.mark.parametrize("raise_", [raise_first, raise_together])
def test_a_bug_comes_before_all_other_errors(raise_: object) -> None:
    with pytest.raises(KeyError):
        raise_([LabError("one"), KeyError("bug")])  # type: ignore[operator]
