"""A lab is saved, destroyed and started again from its snapshot: its objects are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Distribution

LAB = SNAPSHOT = "e2e-snapshot"
SECOND = "e2e-snapshot-2"


@pytest.fixture
def small(halab: Cli, distribution: Distribution) -> Iterator[str]:
    """A lab of one master and one worker, on a subnet that no other test has."""
    words = ("--name", LAB, "--set", "network.subnet=172.30.9.0/24", *distribution.words)
    try:
        halab("start", "1m1w", *words)
        yield LAB
    finally:
        halab("destroy", LAB)
        halab("destroy", SECOND)
        for row in halab.json("snapshot", "list"):
            if row["name"] == SNAPSHOT:
                halab("snapshot", "remove", SNAPSHOT)


def saved(halab: Cli, lab: str) -> str:
    words = ("get", "configmap", "before", "-o", "jsonpath={.data.a}")
    return halab("kubectl", lab, "--", *words).stdout


def test_a_lab_from_a_snapshot_has_what_the_first_one_had(halab: Cli, small: str) -> None:
    halab("kubectl", small, "--", "create", "configmap", "before", "--from-literal=a=saved")
    assert halab.json("snapshot", "save", small, SNAPSHOT)["usable"] is True
    halab("destroy", small)
    status = halab.json("start", "--from", SNAPSHOT)
    assert {row["kubernetes"] for row in status["nodes"] if row["name"] in {"m", "w1"}} == {"Ready"}
    assert saved(halab, small) == "saved"
    # A second lab of the same snapshot runs beside it: nothing of the two clashes.
    beside = ("--set", "network.subnet=172.30.10.0/24")
    halab("start", "--from", SNAPSHOT, "--name", SECOND, *beside)
    assert saved(halab, SECOND) == "saved"
    halab("kubectl", SECOND, "--", "delete", "configmap", "before")
    assert saved(halab, small) == "saved"
    ids = {
        halab("exec", lab, "m", "--", "cat", "/etc/machine-id").stdout for lab in (small, SECOND)
    }
    assert len(ids) == 2
