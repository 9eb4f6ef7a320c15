"""Snapshots: whole labs as images of the engine. What there is, whether it is whole, its removal.

A snapshot NAME is one image for the disk of each node, `halab-snapshot/NAME:m`, and one for the
volumes of each, `halab-snapshot/NAME:m.volumes`. The image `halab-snapshot/NAME:lab.secrets` is
written last, and its label says what the snapshot is: one without it was not finished.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError, WrongError
from lab.base.locks import Lock
from lab.base.names import check_label, is_name
from lab.base.wait import Observation, until
from lab.engine.labels import (
    LABEL_NODE,
    LABEL_SNAPSHOT,
    LABEL_SNAPSHOT_RECORD,
    LABEL_SNAPSHOT_SAVE,
)
from lab.topology.model import from_json, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.topology.model import Topology

REPOSITORY = "halab-snapshot"
KIND = "snapshot"
"""Of its lock."""
CLAIM_S = 120.0
"""For another start from it, which makes its networks, or for who removes its images."""
SECRETS = "lab.secrets"
"""The tag of the image that is written last. No node's name has a dot."""
FORMAT = 1
"""Raised when an older halab could not read what a newer one writes."""


def disk_tag(snapshot: str, node: str) -> str:
    """Return the tag of the image with a node's disk, of which its container is made."""
    return f"{REPOSITORY}/{snapshot}:{node}"


def volumes_tag(snapshot: str, node: str) -> str:
    """Return the tag of the image with tars of a node's volumes."""
    return f"{REPOSITORY}/{snapshot}:{node}.volumes"


def secrets_tag(snapshot: str) -> str:
    """Return the tag of the image with the lab's secrets, and with the record."""
    return f"{REPOSITORY}/{snapshot}:{SECRETS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """What a snapshot says of itself."""

    lab: str
    """The lab that it was saved of."""
    distribution: str
    image: str
    """The tag of the image of nodes that the lab was made of."""
    architecture: str
    """As Go and Debian call it."""
    halab: str
    """The version of halab that saved it."""
    created: int
    """POSIX time, seconds."""
    size: int
    """What it takes of the engine's disk, in bytes, beside the image of nodes."""
    topology: str
    """As JSON, as on a lab's network."""
    tags: tuple[str, ...]
    """All its images."""
    format: int = FORMAT

    def text(self) -> str:
        """Return the record as JSON, for the label."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot as the engine has it."""

    name: str
    tags: tuple[str, ...]
    """The images that are here."""
    record: SnapshotRecord | None = None
    """None if it is half written."""
    problem: str = ""
    """Why no lab can be started from it, whoever asks; "" if one can."""
    used_by: tuple[str, ...] = ()
    """Labs with containers that are made of it."""

    @property
    def topology(self) -> Topology:
        """Return the topology of the lab that was saved. Only a whole one has any."""
        if self.record is None:
            raise AssertionError("a half-written snapshot has no topology")
        return from_json(self.record.topology)


def every(engine: Engine) -> dict[str, Snapshot]:
    """Return all snapshots that the engine has, whole or not, by name."""
    images = engine.images_bearing(LABEL_SNAPSHOT)
    labels: dict[str, dict[str, dict[str, str]]] = {}
    for tag, item in images.items():
        own = item.get("Labels") or {}
        # An image that somebody tagged again under another name is no part of it.
        if tag.startswith(f"{REPOSITORY}/{own[LABEL_SNAPSHOT]}:"):
            labels.setdefault(own[LABEL_SNAPSHOT], {})[tag] = own
    users = _users(engine)
    return {
        name: _snapshot(name, rows, users.get(name, set()))
        for name, rows in sorted(labels.items())
        if is_name(name)
    }


def _users(engine: Engine) -> dict[str, set[str]]:
    """Return the labs that need each snapshot: begun from it, or with machines made of it."""
    users: dict[str, set[str]] = {}
    for lab, observed in engine.labs().items():
        made_of = [one for one in observed.containers if LABEL_NODE in one.labels]
        names = {observed.snapshot, *(_snapshot_of(one.image) for one in made_of)}
        for name in names - {""}:
            users.setdefault(name, set()).add(lab)
    return users


def _snapshot_of(image: str) -> str:
    """Return the snapshot that an image is a part of; "" for none."""
    repository, _, _ = image.partition(":")
    name = repository.removeprefix(f"{REPOSITORY}/")
    return "" if name == repository else name


def _snapshot(name: str, labels: dict[str, dict[str, str]], users: set[str]) -> Snapshot:
    last = labels.get(secrets_tag(name), {})
    record = _read(last.get(LABEL_SNAPSHOT_RECORD, ""))
    return Snapshot(
        name=name,
        tags=tuple(sorted(labels)),
        record=record,
        problem=_problem(record, labels, last.get(LABEL_SNAPSHOT_SAVE, "")),
        used_by=tuple(sorted(users)),
    )


def _read(text: str) -> SnapshotRecord | None:
    """Return the record of a label; None for none, or for one that cannot be understood."""
    try:
        data = json.loads(text)
        from_json(data["topology"])
        return SnapshotRecord(**{**known(SnapshotRecord, data), "tags": tuple(data["tags"])})
    except (ValueError, LookupError, TypeError):
        return None


def _problem(record: SnapshotRecord | None, labels: dict[str, dict[str, str]], save: str) -> str:
    if record is None:
        return "half written: saving it was interrupted"
    if record.format > FORMAT:
        return f"written by a newer halab ({record.halab})"
    if missing := [tag for tag in record.tags if tag not in labels]:
        return f"damaged: {', '.join(missing)} is gone"
    if foreign := [tag for tag in record.tags if labels[tag].get(LABEL_SNAPSHOT_SAVE) != save]:
        return f"damaged: {', '.join(foreign)} was written at another time"
    return ""


def find(engine: Engine, name: str) -> Snapshot:
    """Return a snapshot that labs can be started from.

    Raises InputError if there is none of that name, LabError if it is half written or damaged.
    """
    snapshot = _existing(engine, name)
    if snapshot.problem:
        raise LabError(
            f"snapshot {name} cannot be used: {snapshot.problem}",
            f"`halab snapshot remove {name}`, then save it again",
        )
    return snapshot


def _existing(engine: Engine, name: str) -> Snapshot:
    """Return a snapshot, whole or not. Raises InputError, which names all, if it is not there."""
    snapshots = every(engine)
    if name not in snapshots:
        known_names = ", ".join(snapshots) or "none"
        raise InputError(f"there is no snapshot `{name}`", f"snapshots here: {known_names}")
    return snapshots[name]


def _check_name(name: str) -> None:
    """Raise InputError if a name cannot be a snapshot's."""
    try:
        check_label(name)
    except WrongError as wrong:
        raise InputError(f"no snapshot can be called so: {wrong.message}", wrong.hint) from None


def require_free(engine: Engine, name: str) -> None:
    """Raise InputError if a name cannot be a new snapshot's, or is one's already."""
    _check_name(name)
    snapshot = every(engine).get(name)
    if snapshot is None:
        return
    what = snapshot.problem or f"saved of lab {snapshot.record.lab if snapshot.record else '?'}"
    raise InputError(
        f"there is a snapshot {name} already ({what}); nothing was changed",
        f"`halab snapshot remove {name}`, or choose another name",
    )


@contextlib.contextmanager
def claiming(engine: Engine, snapshot: Snapshot | None, reporter: Reporter) -> Iterator[None]:
    """Let nobody remove a snapshot until a lab that names it is made, in the block.

    Without a snapshot nothing is held. Raises LabError, before the block, if it was removed or
    saved anew meanwhile: a start may have built images since it found it.
    """
    if snapshot is None:
        yield
        return
    lock = Lock(snapshot.name, KIND)

    def acquire() -> Observation:
        return Observation(ok=lock.acquire(), detail="another halab is working on it")

    until(
        f"snapshot {snapshot.name} is free",
        acquire,
        timeout_s=CLAIM_S,
        on_change=lambda text: reporter.say(snapshot.name, text),
    )
    try:
        now = every(engine).get(snapshot.name)
        if now is None or (now.record, now.problem) != (snapshot.record, ""):
            raise LabError(
                f"snapshot {snapshot.name} was removed or saved anew meanwhile; nothing was made",
                "`halab snapshot list` shows what there is",
            )
        yield
    finally:
        lock.forget()
        lock.release()


@contextlib.contextmanager
def working_on(name: str) -> Iterator[None]:
    """Be the only one who writes or removes a snapshot.

    Raises LabError if another one does, and InputError if a name cannot be a snapshot's.
    """
    _check_name(name)
    lock = Lock(name, KIND)
    if not lock.acquire():
        raise LabError(
            f"another halab is working on snapshot {name}", "try again when it has ended"
        )
    try:
        yield
    finally:
        lock.forget()
        lock.release()


def remove(engine: Engine, name: str) -> int:
    """Remove a snapshot, whole or not; return how many images that were.

    Raises InputError if there is none, and LabError if labs are made of it.
    """
    with working_on(name):
        snapshot = _existing(engine, name)
        if users := snapshot.used_by:
            raise LabError(
                f"snapshot {name} is in use by {', '.join(users)}; nothing was changed",
                f"`halab destroy {users[0]}` first",
            )
        if snapshot.problem:
            _remove_helpers(engine, name)
        remove_images(engine, snapshot.tags)
        return len(snapshot.tags)


def _remove_helpers(engine: Engine, name: str) -> None:
    """Remove what a killed `save` has left: nobody else makes containers of an unusable one."""
    for observed in engine.labs().values():
        for container in observed.containers:
            if LABEL_NODE not in container.labels and _snapshot_of(container.image) == name:
                engine.remove_container(container.id)


def remove_images(engine: Engine, tags: tuple[str, ...]) -> None:
    """Remove images of a snapshot: the one with the record first, so that no rest looks whole.

    Then those of volumes, which stand on those of disks.
    """
    for tag in sorted(tags, key=lambda tag: (not tag.endswith(SECRETS), "." not in tag, tag)):
        engine.remove_image(tag)
