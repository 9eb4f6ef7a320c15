"""The records of active faults: files on the nodes they hit, readable and writable whether the node runs or not."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from lab.engine import unpack
from lab.errors import EngineError
from lab.faults import Hit
from lab.spec import File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.engine import Engine
    from lab.node import NodeHandle

FOLDER = "/var/lib/halab/faults"


def _path(hit: Hit) -> str:
    return f"{FOLDER}/{hit.id}.json"


def write(engine: Engine, node: NodeHandle, hit: Hit) -> None:
    """Lay a record down, before the fault acts."""
    engine.put(node.container, [File(path=_path(hit), content=json.dumps(asdict(hit)).encode(), mode=0o600)])


def clear(engine: Engine, node: NodeHandle, hit: Hit) -> None:
    """Take a record back. A node that does not run keeps an empty one: the engine can write its files, but not remove them."""
    engine.put(node.container, [File(path=_path(hit), content=b"", mode=0o600)])
    with contextlib.suppress(EngineError):
        node.run(["rm", "-f", _path(hit)], check=False)


def read(engine: Engine, nodes: Iterable[NodeHandle]) -> tuple[Hit, ...]:
    """Give the active faults of these nodes, the oldest first."""
    found = []
    for node in nodes:
        try:
            files = unpack(engine.read(node.container, FOLDER))
        except EngineError:  # no record was ever laid down there, or the node is gone
            continue
        found += [Hit(**json.loads(content)) for content in files.values() if content]
    return tuple(sorted(found, key=lambda hit: hit.since))
