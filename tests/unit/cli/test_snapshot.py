"""Commands about snapshots: what is listed, what is removed, what is refused before anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import FakeImage, FakeNetwork
from halab_runner import halab
from snapshot_engine import SnapshotEngine

from lab.engine import client
from lab.engine.labels import (
    LABEL,
    LABEL_NODE,
    LABEL_SNAPSHOT,
    LABEL_SNAPSHOT_RECORD,
    LABEL_SNAPSHOT_SAVE,
    LABEL_TOPOLOGY,
)
from lab.lifecycle import removal, snapshot_save
from lab.live.snapshots import SnapshotRecord
from lab.topology import loader
from lab.topology.model import to_json

SMALL = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology
DISK = "halab-snapshot/whole:m"


def image(name: str, **labels: str) -> FakeImage:
    return FakeImage({LABEL_SNAPSHOT: name, LABEL_SNAPSHOT_SAVE: "a", **labels})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SnapshotEngine:
    """An engine with a whole snapshot, and one that is half written."""
    record = SnapshotRecord(
        lab="shop",
        distribution="upstream",
        image="halab/upstream:1",
        architecture="amd64",
        halab="0.1.0",
        created=1_000,
        size=281_000_000,
        topology=to_json(SMALL),
        tags=(DISK,),
    )
    engine = SnapshotEngine(
        committed={
            DISK: image("whole"),
            "halab-snapshot/whole:lab.secrets": image(
                "whole", **{LABEL_SNAPSHOT_RECORD: record.text()}
            ),
            "halab-snapshot/half:m": image("half"),
        }
    )
    monkeypatch.setattr(client, "connect", lambda: engine)
    monkeypatch.setattr(removal, "SETTLE_S", 0)
    return engine


def test_list_tells_size_age_shape_and_version(engine: SnapshotEngine) -> None:
    del engine
    half, whole = json.loads(halab("snapshot", "list", "-o", "json").stdout)
    assert (half["name"], half["usable"]) == ("half", False)
    assert half["problem"] == "half written: saving it was interrupted"
    told = {key: whole[key] for key in ("name", "usable", "lab", "masters", "workers", "halab")}
    assert told == {
        "name": "whole",
        "usable": True,
        "lab": "shop",
        "masters": 1,
        "workers": 1,
        "halab": "0.1.0",
    }
    assert whole["size_bytes"] == 281_000_000
    assert whole["age_s"] > 0
    text = halab("snapshot", "list")
    assert "1m1w" in text.stdout
    assert "281 MB" in text.stdout
    assert "halab snapshot remove half" in text.stderr


def test_save_says_how_large_it_is_and_how_to_start_it(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[str, str]] = []
    monkeypatch.setattr(snapshot_save, "save", lambda lab, name: saved.append((lab.name, name)))
    engine.networks["halab-shop"] = FakeNetwork(
        {LABEL: "shop", LABEL_TOPOLOGY: to_json(replace(SMALL, name="shop"))}
    )
    done = halab("snapshot", "save", "shop", "whole")
    assert "saved shop as whole (281 MB); try `halab start --from whole`" in done.stderr
    row = json.loads(halab("snapshot", "save", "shop", "whole", "-o", "json").stdout)
    assert (row["name"], row["usable"]) == ("whole", True)
    assert saved == [("shop", "whole")] * 2


def test_remove_takes_a_half_written_one_and_all(engine: SnapshotEngine) -> None:
    halab("snapshot", "remove", "half")
    assert not [tag for tag in engine.committed if "half" in tag]
    removed = halab("snapshot", "remove", "--all", "-o", "json").stdout
    assert json.loads(removed) == {"removed": {"whole": 2}}
    assert engine.committed == {}
    assert "no snapshots" in halab("snapshot", "list").stderr


def test_remove_all_keeps_what_a_lab_is_made_of(engine: SnapshotEngine) -> None:
    engine.add("halab-x-m", "x", **{LABEL_NODE: "m"})
    engine.containers["halab-x-m"].image = DISK
    done = halab("snapshot", "remove", "--all", code=1)
    assert "snapshot whole is in use by x" in done.stderr
    assert set(engine.committed) == {DISK, "halab-snapshot/whole:lab.secrets"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["snapshot", "remove"], 2, "name the snapshot to remove, or use --all"),
        (["snapshot", "remove", "none"], 2, "snapshots here: half, whole"),
        (["snapshot", "save", "none", "x"], 2, "there is no lab `none`"),
        (["start", "--from", "none"], 2, "there is no snapshot `none`"),
        (["start", "--from", "half"], 1, "half written"),
        (["start", "3m3w", "--from", "whole"], 2, "a snapshot by --from, and nothing else"),
        (["start"], 2, "name a topology file or a lab"),
        (["start", "--from", "whole", "--set", "ha.token=2s"], 2, "`ha.token` cannot be set"),
        (["start", "--from", "whole", "--set", "network.subnet=x"], 2, "network.subnet: "),
    ],
)
def test_what_is_refused_changes_nothing(
    engine: SnapshotEngine, words: list[str], code: int, message: str
) -> None:
    assert message in halab(*words, code=code).stderr
    assert engine.calls == []


def test_another_subnet_than_that_of_a_lab_that_is_there_is_refused(
    engine: SnapshotEngine,
) -> None:
    there = {LABEL: "shop", LABEL_SNAPSHOT: "whole"}
    own = to_json(replace(SMALL, name="shop"))
    engine.networks["halab-shop"] = FakeNetwork({**there, LABEL_TOPOLOGY: own}, "172.30.1.0/24")
    words = ("start", "--from", "whole", "--name", "shop", "--set", "network.subnet=172.30.7.0/24")
    assert "with the subnet 172.30.1.0/24; nothing was changed" in halab(*words, code=2).stderr
    assert engine.calls == []


def test_destroying_all_labs_leaves_snapshots_and_says_so(engine: SnapshotEngine) -> None:
    engine.add("halab-x-m", "x")
    done = halab("destroy", "--all")
    assert "snapshots stay: half, whole (`halab snapshot remove --all`)" in done.stderr
    assert len(engine.committed) == 3
