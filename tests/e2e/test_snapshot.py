"""A lab is saved, destroyed and started again from its snapshot: its objects are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Distribution

LAB = SNAPSHOT = "e2e-snapshot"
SECOND, BESIDE = "e2e-snapshot-2", "172.30.10.0/24"


@pytest.fixture(scope="module")
def small(halab: Cli, distribution: Distribution) -> Iterator[str]:
    """A lab of one master and one worker that was saved and destroyed, on a subnet of its own."""
    words = ("--name", LAB, "--set", "network.subnet=172.30.9.0/24", *distribution.words)
    try:
        halab("start", "1m1w", *words)
        halab("kubectl", LAB, "--", "create", "configmap", "before", "--from-literal=a=saved")
        assert halab.json("snapshot", "save", LAB, SNAPSHOT)["usable"] is True
        halab("destroy", LAB)
        yield LAB
    finally:
        halab("destroy", LAB)
        for row in halab.json("snapshot", "list"):
            if row["name"] == SNAPSHOT:
                halab("snapshot", "remove", SNAPSHOT)


def saved(halab: Cli, lab: str) -> str:
    words = ("get", "configmap", "before", "--ignore-not-found", "-o", "jsonpath={.data.a}")
    return halab("kubectl", lab, "--", *words).stdout


def test_a_lab_from_a_snapshot_has_what_the_first_one_had(halab: Cli, small: str) -> None:
    status = halab.json("start", "--from", SNAPSHOT)
    assert {row["kubernetes"] for row in status["nodes"] if row["name"] in {"m", "w1"}} == {"Ready"}
    assert saved(halab, small) == "saved"


def test_two_labs_of_one_snapshot_run_side_by_side(
    halab: Cli, small: str, distribution: Distribution
) -> None:
    if distribution.name == "k3s":
        pytest.skip("K3s refuses a master that has moved to another subnet")
    halab("start", "--from", SNAPSHOT)
    try:
        halab("start", "--from", SNAPSHOT, "--name", SECOND, "--set", f"network.subnet={BESIDE}")
        assert saved(halab, SECOND) == "saved"
        halab("kubectl", SECOND, "--", "delete", "configmap", "before")
        assert (saved(halab, SECOND), saved(halab, small)) == ("", "saved")
        machine_id = ("m", "--", "cat", "/etc/machine-id")
        ids = {halab("exec", lab, *machine_id).stdout for lab in (small, SECOND)}
        assert len(ids) == 2
    finally:
        halab("destroy", SECOND)
