"""The records of active faults: files on the nodes they hit, readable and writable whether the node runs or not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine.files import File, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle

FOLDER = "/var/lib/halab/faults"


def _path(active: ActiveFault) -> str:
    return f"{FOLDER}/{active.id}.json"


def write(node: NodeHandle, active: ActiveFault) -> None:
    """Lay a record down, before the fault acts.

    The node runs and its own shell writes: the engine takes twice as long for a file.
    """
    path = _path(active)
    script = f"umask 077; mkdir -p {FOLDER} && cat > {path}.new && mv {path}.new {path}"
    node.run(["sh", "-c", script], stdin=json.dumps(asdict(active)).encode())


def clear(engine: Engine, node: NodeHandle, faults: Iterable[ActiveFault]) -> None:
    """Take records back.

    A node that does not run keeps empty ones, for the engine can write its files, but not remove
    them; the next call does.
    """
    paths = [_path(active) for active in faults]
    try:
        node.run(
            [
                "sh",
                "-c",
                f'rm -f "$@"; ! test -d {FOLDER} || find {FOLDER} -name "*.json" -empty -delete',
                "clear",
                *paths,
            ]
        )
    except EngineError:
        engine.put(node.container, [File(path=path, content=b"", mode=0o600) for path in paths])


def parse(text: bytes, path: str, node: str) -> ActiveFault:
    """Read a record, another halab's too: what this one does not know is left out.

    What is missing has its default: the id is the file's name, and the node is where it lies. One
    that is no record at all is a fault without a name, which healing says that it does not know.
    """
    try:
        found = json.loads(text)
    except ValueError:  # UnicodeDecodeError is one
        found = None
    told = found if isinstance(found, dict) else {}

    def words(key: str) -> dict[str, str]:
        value = told.get(key)
        pairs = value.items() if isinstance(value, dict) else ()
        return {str(name): str(each) for name, each in pairs}

    since = told.get("since")
    return ActiveFault(
        id=path.rsplit("/", 1)[-1].removesuffix(".json"),
        fault=str(told.get("fault", "")),
        node=str(told.get("node", node)),
        options=words("options"),
        since=float(since) if isinstance(since, int | float) else 0.0,
        before=words("before"),
    )


def read(engine: Engine, nodes: Iterable[NodeHandle]) -> tuple[ActiveFault, ...]:
    """Return the active faults of these nodes, the oldest first."""

    def ask(node: NodeHandle) -> list[ActiveFault]:
        try:
            files = unpack(engine.read(node.container, FOLDER))
        except EngineError:  # no record was ever laid down there, or the node is gone
            return []
        records = {path: text for path, text in files.items() if text and path.endswith(".json")}
        return [parse(text, path, node.name) for path, text in records.items()]

    with ThreadPoolExecutor(8) as pool:
        found = [active for row in pool.map(ask, nodes) for active in row]
    return tuple(sorted(found, key=lambda active: active.since))


Options = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """One fault on one node: what its record says."""

    id: str
    fault: str
    node: str
    options: Options = field(default_factory=dict)
    since: float = 0.0
    """Wall clock, seconds since 1970: for people. Order and durations are measured elsewhere."""
    before: Options = field(default_factory=dict)
    """What the fault found and healing needs (limits, addresses)."""
