"""A snapshot goes into a file and comes back; what is no snapshot is refused before anything."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest
from fake_engine import FakeImage
from halab_runner import halab
from snapshot_engine import SnapshotEngine

from lab.engine import client
from lab.engine.labels import LABEL_SNAPSHOT, LABEL_SNAPSHOT_RECORD, LABEL_SNAPSHOT_SAVE
from lab.live.snapshots import SnapshotRecord
from lab.topology import loader
from lab.topology.model import to_json

TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology
DISK, LAST = "halab-snapshot/whole:m", "halab-snapshot/whole:lab.secrets"
RECORD = SnapshotRecord(
    lab="shop",
    distribution="upstream",
    image="halab/upstream:1",
    architecture="arm64",
    halab="0.1.0",
    created=1_000,
    size=281_000_000,
    topology=to_json(TOPOLOGY),
    tags=(DISK,),
)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SnapshotEngine:
    own = {LABEL_SNAPSHOT: "whole", LABEL_SNAPSHOT_SAVE: "a"}
    last = FakeImage({**own, LABEL_SNAPSHOT_RECORD: RECORD.text()})
    engine = SnapshotEngine(committed={DISK: FakeImage(own), LAST: last})
    monkeypatch.setattr(client, "connect", lambda: engine)
    monkeypatch.chdir(tmp_path)
    return engine


def test_snapshot_comes_back_from_its_file(engine: SnapshotEngine) -> None:
    before = dict(engine.committed)
    done = halab("snapshot", "export", "whole", "x.tar")
    assert "wrote whole to x.tar" in done.stderr
    assert f"save {LAST} {DISK} arm64" in engine.calls
    assert stat.S_IMODE(Path("x.tar").stat().st_mode) == 0o600
    halab("snapshot", "remove", "whole")
    row = json.loads(halab("snapshot", "import", "x.tar", "-o", "json").stdout)
    assert (row["name"], row["usable"], row["lab"]) == ("whole", True, "shop")
    assert engine.committed == before
    # A packed one, as whoever sends it may make it.
    subprocess.run(["gzip", "x.tar"], check=True)
    halab("snapshot", "remove", "whole")
    assert "halab start --from whole" in halab("snapshot", "import", "x.tar.gz").stderr


def test_file_that_is_there_is_not_written_over(engine: SnapshotEngine) -> None:
    Path("x.tar").write_text("mine")
    done = halab("snapshot", "export", "whole", "x.tar", code=2)
    assert "x.tar exists already; nothing was written" in done.stderr
    assert Path("x.tar").read_text() == "mine"
    assert not engine.calls


def test_file_that_cannot_be_written_is_said_and_nothing_is_left(engine: SnapshotEngine) -> None:
    del engine
    done = halab("snapshot", "export", "whole", "none/x.tar", code=1)
    assert "cannot write none/x.tar: No such file or directory" in done.stderr
    assert "name a folder that exists" in done.stderr


def test_snapshot_that_is_there_already_is_not_touched(engine: SnapshotEngine) -> None:
    halab("snapshot", "export", "whole", "x.tar")
    calls = list(engine.calls)
    done = halab("snapshot", "import", "x.tar", code=2)
    assert "there is a snapshot whole already (saved of lab shop)" in done.stderr
    assert engine.calls == calls


def test_of_a_snapshot_that_was_not_read_whole_nothing_is_left(engine: SnapshotEngine) -> None:
    halab("snapshot", "export", "whole", "x.tar")
    halab("snapshot", "remove", "whole")
    engine.full = 1
    assert "no space left" in halab("snapshot", "import", "x.tar", code=1).stderr
    assert engine.committed == {}


def test_snapshot_that_lacks_its_last_image_is_refused(engine: SnapshotEngine) -> None:
    Path("x.tar").write_bytes(b"".join(engine.save([DISK], "arm64")))
    halab("snapshot", "remove", "whole")
    done = halab("snapshot", "import", "x.tar", code=1)
    assert "snapshot whole cannot be used: half written" in done.stderr
    assert engine.committed == {}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("halab/upstream:1", "x.tar is no snapshot: it holds the image halab/upstream:1"),
        ("halab-snapshot/other:m", "x.tar holds more than one snapshot: other, whole"),
    ],
)
def test_other_images_are_refused_before_anything_is_loaded(
    engine: SnapshotEngine, more: str, message: str
) -> None:
    engine.committed[more] = FakeImage()
    Path("x.tar").write_bytes(b"".join(engine.save([DISK, LAST, more], "arm64")))
    calls = list(engine.calls)
    assert message in halab("snapshot", "import", "x.tar", code=2).stderr
    assert engine.calls == calls


@pytest.mark.parametrize("content", [b"", b"not a tar at all"])
def test_what_is_no_tar_is_refused(engine: SnapshotEngine, content: bytes) -> None:
    Path("x.tar").write_bytes(content)
    assert "x.tar is not a tar of images" in halab("snapshot", "import", "x.tar", code=2).stderr
    assert "x.tr cannot be read" in halab("snapshot", "import", "x.tr", code=2).stderr
    assert not engine.calls
