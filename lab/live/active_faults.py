"""The records of active faults: files on the nodes that they hit.

They can be read and written whether the node runs or not.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine.files import File, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle

FOLDER = "/var/lib/halab/faults"
HEALED = ".healed"
"""The end of a healed fault's record, after its own name and the time: x.json.17….healed.

It stays for as long as `status` tells of fencings, to say which of them halab caused."""
KEPT_MIN = 120
CLEAR = f"""
for record; do
    test ! -s "$record" || mv -f "$record" "$record.$(date +%s){HEALED}"
done
rm -f "$@"
test ! -d {FOLDER} || {{
    find {FOLDER} -name "*.json" -empty -delete
    find {FOLDER} -name "*{HEALED}" -mmin +{KEPT_MIN} -delete
}}
"""


RECORD, RECORDS_END = "fault-record", "fault-records-end"
PRINT = (
    f'for record in {FOLDER}/*; do test -f "$record" || continue;'
    f""" printf '%s' "{RECORD} ${{record##*/}} "; tr -d '\\n' <"$record"; echo; done;"""
    f" echo {RECORDS_END}"
)
"""Shell that prints a running node's records for `printed`: a node that is asked for more anyway
prints them at no cost, while the engine needs a tenth of a second to pack a folder."""


def _path(active: ActiveFault) -> str:
    return f"{FOLDER}/{active.id}.json"


def write(node: NodeHandle, active: ActiveFault) -> None:
    """Lay down a record, before the fault acts.

    The node must run: its own shell writes the file, for which the engine takes twice as long.
    """
    path = _path(active)
    script = f"umask 077; mkdir -p {FOLDER} && cat > {path}.new && mv {path}.new {path}"
    node.run(["sh", "-c", script], stdin=json.dumps(asdict(active)).encode())


def clear(engine: Engine, node: NodeHandle, faults: Iterable[ActiveFault]) -> None:
    """Turn records of active faults into those of healed ones.

    On a node that does not run, the engine can write files but not remove them. The records become
    empty there, and the next call removes them.
    """
    paths = [_path(active) for active in faults]
    try:
        node.run(["sh", "-c", CLEAR, "clear", *paths])
    except EngineError:
        engine.put(node.container, [File(path=path, content=b"", mode=0o600) for path in paths])


def parse(text: bytes, path: str, node: str) -> ActiveFault:
    """Read a record, even of another version of halab: it ignores keys that it does not know.

    What is missing gets a default: the id is the file's name, and `node` has the file. A file that
    is no record becomes a fault without a name, of which healing says that it is unknown.
    """
    try:
        record = json.loads(text)
    except ValueError:  # UnicodeDecodeError is one
        record = None
    if not isinstance(record, dict):
        record = {}
    since = record.get("since")
    return ActiveFault(
        id=path.rsplit("/", 1)[-1].removesuffix(".json"),
        fault=str(record.get("fault", "")),
        node=str(record.get("node", node)),
        options=_options(record.get("options")),
        since=float(since) if isinstance(since, int | float) else 0.0,
        before=_options(record.get("before")),
    )


def _options(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(name): str(each) for name, each in pairs}


def read(engine: Engine, nodes: Iterable[NodeHandle]) -> tuple[ActiveFault, ...]:
    """Return the active faults of these nodes, the oldest first. A node without any is fine."""
    return read_with_healed(engine, nodes).active


def read_with_healed(engine: Engine, nodes: Iterable[NodeHandle]) -> FaultRecords:
    """Return the active faults of these nodes and the healed ones of the last hours."""

    def ask(node: NodeHandle) -> FaultRecords:
        return read_from_disk(engine, node) or FaultRecords()

    with ThreadPoolExecutor(8) as pool:
        return together(pool.map(ask, nodes))


def read_from_disk(engine: Engine, node: NodeHandle) -> FaultRecords | None:
    """Return the records of one node, whether it runs or not.

    None if they cannot be read: there never was one, the node is gone, or the engine is.
    """
    try:
        files = unpack(engine.read(node.container, FOLDER))
    except EngineError:
        return None
    return _records(files, node.name)


def printed(output: str, node: str) -> FaultRecords | None:
    """Return what `PRINT` printed on a node, among other lines; None if it did not end."""
    lines = output.splitlines()
    if RECORDS_END not in lines:
        return None
    rows = [line.split(" ", 2) for line in lines if line.startswith(f"{RECORD} ")]
    return _records({row[1]: row[-1].encode() for row in rows if len(row) > 2}, node)  # noqa: PLR2004


def together(records: Iterable[FaultRecords]) -> FaultRecords:
    """Return the records of several nodes as one, the oldest active fault first."""
    rows = list(records)
    active = sorted((one for row in rows for one in row.active), key=lambda fault: fault.since)
    return FaultRecords(tuple(active), tuple(one for row in rows for one in row.healed))


def _records(files: Mapping[str, bytes], node: str) -> FaultRecords:
    """Read the files of a node's folder: name → content."""
    return FaultRecords(
        tuple(
            parse(text, path, node)
            for path, text in files.items()
            if text and path.endswith(".json")
        ),
        tuple(
            parse_healed(text, path, node) for path, text in files.items() if path.endswith(HEALED)
        ),
    )


def parse_healed(text: bytes, path: str, node: str) -> HealedFault:
    """Read the record of a healed fault, whose file's name ends with the time of healing."""
    own_path, _, healed = path.removesuffix(HEALED).rpartition(".")
    active = parse(text, own_path, node)
    until = float(healed) if healed.isdigit() else active.since
    return HealedFault(fault=active.fault, node=active.node, since=active.since, until=until)


Options = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """One fault on one node, as its record says."""

    id: str
    fault: str
    node: str
    options: Options = field(default_factory=dict)
    since: float = 0.0
    """POSIX time by the wall clock, for people. Order and durations are measured elsewhere."""
    before: Options = field(default_factory=dict)
    """What was there before the fault, and healing needs (limits, addresses)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedFault:
    """A fault that was on a node: from when until when, POSIX time by the wall clock."""

    fault: str
    node: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class FaultRecords:
    """What the records of some nodes say."""

    active: tuple[ActiveFault, ...] = ()
    healed: tuple[HealedFault, ...] = ()
