"""A lab is saved, destroyed and started again from its snapshot: its objects are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Distribution

LAB = SNAPSHOT = "e2e-snapshot"


@pytest.fixture
def small(halab: Cli, distribution: Distribution) -> Iterator[str]:
    """A lab of one master and one worker, on a subnet that no other test has."""
    words = ("--name", LAB, "--set", "network.subnet=172.30.9.0/24", *distribution.words)
    try:
        halab("start", "1m1w", *words)
        yield LAB
    finally:
        halab("destroy", LAB)
        for row in halab.json("snapshot", "list"):
            if row["name"] == SNAPSHOT:
                halab("snapshot", "remove", SNAPSHOT)


def test_a_lab_from_a_snapshot_has_what_the_first_one_had(halab: Cli, small: str) -> None:
    halab("kubectl", small, "--", "create", "configmap", "before", "--from-literal=a=saved")
    assert halab.json("snapshot", "save", small, SNAPSHOT)["usable"] is True
    halab("destroy", small)
    status = halab.json("start", "--from", SNAPSHOT)
    assert {row["kubernetes"] for row in status["nodes"] if row["name"] in {"m", "w1"}} == {"Ready"}
    words = ("get", "configmap", "before", "-o", "jsonpath={.data.a}")
    assert halab("kubectl", small, "--", *words).stdout == "saved"
