"""Did you mean …? The closest name, or the list of what is known."""

from __future__ import annotations

from lab.base.suggest import closest, did_you_mean


def test_closest_name_is_proposed() -> None:
    assert closest("statsu", ("start", "status")) == "status"
    assert did_you_mean("tokn", ["token", "consensus"]) == "did you mean `token`?"


def test_names_are_listed_when_none_is_close() -> None:
    assert closest("x" * 100_000, ("start", "status")) == ""
    assert did_you_mean("bogus", iter(["token", "fence"])) == "known: token, fence"
