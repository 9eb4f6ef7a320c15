"""`halab snapshot save`: the lab is shut down, its machines become images, then it runs again.

Shut down, not frozen: databases close their files, pods end in order, and what is restored later is
a lab that was stopped, as `start` knows it. Frozen masters would be as if their power had failed,
and would lose Corosync's token when they go on.
"""

from __future__ import annotations

import secrets as random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import __version__
from lab.base.errors import LabError
from lab.base.locks import alone, exclusive
from lab.engine.labels import (
    LABEL_ROLE,
    LABEL_SNAPSHOT,
    LABEL_SNAPSHOT_BASE,
    LABEL_SNAPSHOT_RECORD,
    LABEL_SNAPSHOT_SAVE,
    container_name,
    secrets_volume,
)
from lab.images.sources import architecture
from lab.lifecycle import plan, snapshot_restore, volumes_archive
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action
from lab.lifecycle.start import start_again
from lab.live import snapshots, steady_state
from lab.live.snapshots import SnapshotRecord
from lab.nodes import roles
from lab.topology.model import Role, to_json

if TYPE_CHECKING:
    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.live.lab import Lab
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node


def save(source: Lab, name: str) -> SnapshotRecord:
    """Save a lab as a snapshot; it is shut down meanwhile, and runs again afterwards.

    Raises InputError for a name that is taken, LabError for a lab that is not whole or of another
    build, and what the engine says if it cannot write. Of a failed or interrupted one nothing is
    left.
    """
    with alone(source.name, f"snapshot save {name}"), snapshots.working_on(name):
        snapshots.require_free(source.engine, name)
        _require_whole(source)
        base = _require_own_build(source)
        saving = Saving(source, name, base)
        try:
            with exclusive(source.name, source.reporter):
                saving.shut_down()
                record = saving.write()
        except BaseException as failure:
            _run_again(source, failure)
            raise
        start_again(source)
        return record


def _run_again(source: Lab, failure: BaseException) -> None:
    """Start the lab after a failed save. Raises LabError with both reasons if that fails, too."""
    try:
        start_again(source)
    except LabError as error:
        what = failure.message if isinstance(failure, LabError) else type(failure).__name__
        raise LabError(
            f"no snapshot was saved: {what}\n"
            f"and lab {source.name} does not run again: {error.message}",
            error.hint or f"`halab start {source.name}` tries again",
        ) from failure


def _require_own_build(source: Lab) -> str:
    """Return the image that the lab's nodes were made of.

    Raises LabError if it is not this halab's: no lab could be started from the snapshot.
    """
    own = snapshot_restore.own_image(source.distribution().name, source.builder())
    bases = base_images(source.observe())
    if others := [base for base in bases if base != own]:
        raise LabError(
            f"lab {source.name} has nodes of another build ({others[0]}); this halab makes {own},"
            " and could start no lab from the snapshot; nothing was changed",
            "save it with the halab that made it, or save a new lab of this one",
        )
    return own


def _require_whole(source: Lab) -> None:
    state = steady_state.steady(source)
    if not state.ok:
        raise LabError(
            f"lab {source.name} is not whole ({state.detail}); no snapshot was saved",
            f"`halab fault heal {source.name}` and `halab start {source.name}` make it whole",
        )


@dataclass(slots=True)
class Saving:
    """Writes one snapshot of a lab."""

    lab: Lab
    name: str
    base: str
    """The image that the lab's nodes were made of."""
    labels: dict[str, str] = field(init=False)
    """Of all its images."""
    _applier: Applier = field(init=False)

    def __post_init__(self) -> None:
        """Draw the random value that marks all images of this snapshot."""
        mark = random.token_hex(6)
        self.labels = {
            LABEL_SNAPSHOT: self.name,
            LABEL_SNAPSHOT_SAVE: mark,
            LABEL_SNAPSHOT_BASE: self.base,
        }
        self._applier = Applier(self.engine, self.lab.reporter, "", self.lab.cancelled)

    @property
    def engine(self) -> Engine:
        """Return the lab's engine."""
        return self.lab.engine

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags of all images but the last."""
        names = [node.name for node in self.lab.topology.nodes]
        disks = [snapshots.disk_tag(self.name, name) for name in names]
        return (*disks, *(snapshots.volumes_tag(self.name, name) for name in names))

    def shut_down(self) -> None:
        """Shut all machines down, at once."""
        steps = plan.stop(self.lab.observe())
        self._applier.stop(self.lab.name, steps.subjects(Action.STOP))

    def write(self) -> SnapshotRecord:
        """Write all images, that with the record last; if one fails, remove what was written."""
        nodes = {node.name: node for node in self.lab.topology.nodes}
        distribution = self.lab.distribution()
        try:
            self._applier.together(lambda name: self._node(nodes[name], distribution), nodes)
            return self._secrets(distribution)
        except BaseException:
            self.lab.reporter.say(self.name, "not finished: removing what was written of it")
            snapshots.remove_images(self.engine, (*self.tags, snapshots.secrets_tag(self.name)))
            raise

    def _node(self, node: Node, distribution: Distribution) -> None:
        """Write a node's two images."""
        reporter, container = self.lab.reporter, container_name(self.lab.name, node.name)
        disk = snapshots.disk_tag(self.name, node.name)
        reporter.say(node.name, "saving its disk")
        self.engine.commit(container, disk, self.labels)
        purposes = roles.find(node.role).volumes(node, distribution)
        volumes = {f"{container}-{purpose}": purpose for purpose in purposes}
        reporter.say(node.name, "saving its volumes")
        with volumes_archive.packed(self.engine, disk, self.lab.name, volumes) as helper:
            self.engine.commit(helper, snapshots.volumes_tag(self.name, node.name), self.labels)
        reporter.done(node.name, "saved")

    def _secrets(self, distribution: Distribution) -> SnapshotRecord:
        """Write the image with the secrets, and the record on it."""
        image = snapshots.disk_tag(self.name, self.lab.topology.nodes[0].name)
        record = self._record(distribution)
        labels = {**self.labels, LABEL_SNAPSHOT_RECORD: record.text()}
        volumes = {secrets_volume(self.lab.name): snapshots.SECRETS}
        with volumes_archive.packed(self.engine, image, self.lab.name, volumes) as helper:
            self.engine.commit(helper, snapshots.secrets_tag(self.name), labels)
        return record

    def _record(self, distribution: Distribution) -> SnapshotRecord:
        return SnapshotRecord(
            lab=self.lab.name,
            distribution=distribution.name,
            image=self.base,
            architecture=architecture(str(self.engine.about.get("Architecture", ""))),
            halab=__version__,
            created=int(time.time()),
            size=self._size(),
            topology=to_json(self.lab.topology),
            tags=self.tags,
        )

    def _size(self) -> int:
        """Return what the images of volumes, which stand on those of disks, add to the base."""
        names = [node.name for node in self.lab.topology.nodes]
        whole = [self._bytes(snapshots.volumes_tag(self.name, name)) for name in names]
        return sum(whole) - len(names) * self._bytes(self.base)

    def _bytes(self, tag: str) -> int:
        return int((self.engine.image(tag) or {}).get("Size", 0))


def base_images(observed: Observed) -> list[str]:
    """Return the image that each of a lab's nodes was made of, however many snapshots between."""
    return [
        container.labels.get(LABEL_SNAPSHOT_BASE) or container.image
        for container in observed.containers
        if container.labels.get(LABEL_ROLE) in {Role.MASTER, Role.WORKER}
    ]
