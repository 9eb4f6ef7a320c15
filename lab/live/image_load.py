"""The user's images, brought to nodes from the engine or from a tar, where they are missing.

What a node was given is remembered on the node, by a further name with the image's id in it. So an
image that was built anew under the same name is told from the one that the node has.
"""

from __future__ import annotations

import contextlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.base.parallel import attempt_all, raise_together
from lab.images import archive
from lab.images.archive import NamedImage, with_tag
from lab.images.sources import sources_for
from lab.live import node_images
from lab.nodes.handles import handle
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

LOADED, PRESENT, OFF = "loaded", "present", "off"
MARK = "docker.io/halab/loaded"
"""The repository of the further names; the tag is the id."""
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True)
class NodeImage:
    """What became of an image on a node. `state`: loaded, present (nothing was done), off."""

    node: str
    image: str
    state: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where images come from: the engine, or a tar."""

    word: str
    """As the user names it."""
    images: tuple[NamedImage, ...]
    tar: Path | None = None

    @property
    def marks(self) -> dict[str, str]:
        """The further names that say which image it was: mark → name."""
        return {f"{MARK}:{image.id}": image.name for image in self.images}


def load(
    lab: Lab,
    images: Sequence[str],
    nodes: Sequence[str] = (),
    progress: Reporter | None = None,
) -> tuple[NodeImage, ...]:
    """Bring images to nodes, by default to all masters and workers; quick where they are already.

    An image is a name in the engine, or the path of a tar. Nodes that are off are left out and say
    so in the answer. Raises InputError, before anything is done, for an image that is not there, a
    tar that holds none, and a name that is no node's; LabError for a node that cannot take them.
    """
    report = progress or lab.reporter
    targets = _targets(lab, nodes)
    sources = [find(lab.engine, word) for word in dict.fromkeys(images)]
    found: list[NodeImage] = []
    for source in sources:
        states = _bring(lab, source, targets, report)
        found += [
            NodeImage(node, image.name, state)
            for node, state in states.items()
            for image in source.images
        ]
    return tuple(found)


def find(engine: Engine, word: str) -> Source:
    """Return what a word means: an image of the engine, else a tar. Raises InputError."""
    path = Path(word).expanduser()
    named_so = word.startswith((".", "/", "~")) or word.endswith(TARS)
    known = None if named_so else engine.image(word)
    if known is not None:
        return Source(word, (_of_engine(word, known.get("Id", ""), known.get("RepoTags")),))
    if path.is_file():
        return Source(word, archive.read(path), path)
    if named_so:
        raise InputError(f"there is no file {word}", "`docker save -o app.tar IMAGE` writes one")
    raise InputError(
        f"the engine has no image `{word}`, and there is no file of that name",
        "`docker images` lists those that it has",
    )


def _of_engine(word: str, id_: str, tags: list[str] | None) -> NamedImage:
    """Return the image under the name that the word is; pods can use an image by its name only."""
    name = with_tag(word)
    if name in {with_tag(tag) for tag in tags or ()}:
        return NamedImage(name, id_.rpartition(":")[2])
    own = f"its names: {', '.join(tags)}" if tags else "`docker tag` gives it one"
    raise InputError(f"`{word}` is an image, but not by its name", own)


def _targets(lab: Lab, names: Sequence[str]) -> list[NodeHandle]:
    """Return the nodes' handles. Raises InputError for what is no master or worker of the lab."""
    own = {node.name: node for node in lab.topology.nodes}
    for name in names:
        if name in own:
            continue
        lab.node(name)
        kind = Role.LOADBALANCER if name == lab.topology.loadbalancer.name else Role.BMC
        raise InputError(
            f"{name} is the {kind.value} of lab {lab.name}, and runs no pods",
            f"its nodes: {', '.join(own)}",
        )
    return [handle(lab.engine, lab.name, own[name]) for name in dict.fromkeys(names or own)]


def _bring(
    lab: Lab, source: Source, nodes: Sequence[NodeHandle], report: Reporter
) -> dict[str, str]:
    """Return each node's state after a source's images were brought to those that lack them."""
    found, errors = attempt_all([partial(_state, source, node) for node in nodes])
    raise_together(errors)
    states = {node.name: state for node, state in zip(nodes, found, strict=True)}
    for name, state in states.items():
        if state == PRESENT:
            report.done(name, f"has {source.word} already")
        elif state == OFF:
            report.done(name, f"is off, and does not get {source.word}")
    lacking = [node for node in nodes if not states[node.name]]
    return states | (_import_all(lab, source, lacking, report) if lacking else {})


def _state(source: Source, node: NodeHandle) -> str:
    """Return PRESENT, OFF, or nothing for a node that lacks an image."""
    if not node.running:
        return OFF
    digests = node_images.digests(node)
    if digests is None:
        return OFF
    same = (
        name in digests and digests[name] == digests.get(mark)
        for mark, name in source.marks.items()
    )
    return PRESENT if all(same) else ""


def _import_all(
    lab: Lab, source: Source, nodes: Sequence[NodeHandle], report: Reporter
) -> dict[str, str]:
    arch = sources_for(lab.engine).arch

    def bring(node: NodeHandle, tar: Path) -> str:
        report.say(node.name, f"loading {source.word} ({tar.stat().st_size / 1e6:.0f} MB)")
        there = node_images.put(node, tar, arch, source.marks)
        said = f"has {source.word}" if there else f"stopped before it had {source.word}"
        report.done(node.name, said)
        return LOADED if there else OFF

    with _tar(lab, source, arch, report) as tar, ThreadPoolExecutor(node_images.AT_ONCE) as pool:
        jobs = {node.name: pool.submit(bring, node, tar) for node in nodes}
    raise_together([error for job in jobs.values() if (error := job.exception())])
    return {name: job.result() for name, job in jobs.items()}


@contextlib.contextmanager
def _tar(lab: Lab, source: Source, arch: str, report: Reporter) -> Iterator[Path]:
    """Lend a source's tar; one of the engine's image is saved once, however many nodes want it."""
    if source.tar:
        yield source.tar
        return
    report.say(lab.name, f"taking {source.word} out of the engine")
    with tempfile.NamedTemporaryFile(dir=sources_for(lab.engine).cache, suffix=".tar") as file:
        # With its tag: a name without one would be all images of that name.
        for chunk in lab.engine.save([image.name for image in source.images], arch):
            file.write(chunk)
        file.flush()
        report.done(lab.name, f"took {source.word} out of the engine")
        yield Path(file.name)
