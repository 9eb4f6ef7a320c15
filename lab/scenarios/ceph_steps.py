"""What users do with Ceph while a lab is broken: look at it, write, kill daemons, read again.

These are steps of a scenario. Each returns a sentence for the history, and raises LabError if the
lab is not as expected.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lab.addons import manager
from lab.addons.catalog.ceph import ALLOWED, working
from lab.addons.catalog.ceph.client import CLUSTER_PATH, Ceph
from lab.addons.catalog.ceph.rook import REPLICAS, TOOLS
from lab.base.errors import LabError
from lab.base.wait import Observation, tried, until

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lab.live.lab import Lab

OBJECT_BYTES = 1024 * 1024
EVERY_S = 2.0
"""Between questions to Ceph: each begins a program that takes most of a second."""


@contextlib.contextmanager
def open_ceph(lab: Lab) -> Iterator[Ceph]:
    """Open the client of a lab's Ceph."""
    with manager.open_manager(lab) as addons:
        yield Ceph(addons.site)


@dataclass(slots=True)
class CephSteps:
    """The steps of one lab's Ceph, and what one leaves for the next."""

    lab: Lab
    cancelled: threading.Event
    note: Callable[..., None]
    """Adds an event to the history, `at` a time of the monotonic clock, or now."""
    open_ceph: Callable[[Lab], AbstractContextManager[Ceph]] = open_ceph
    objects: dict[str, str] = field(default_factory=dict)
    """What was written: name → SHA-256."""
    killed: list[dict[str, str]] = field(default_factory=list)
    """The pods that were killed and are not yet replaced, as the history names them."""

    def run(self, step: str, timeout_s: float) -> str:
        """Carry out a step of CEPH in topology/scenario_file.py; return the detail for the history.

        `timeout_s` is the limit of each wait.
        """
        steps: dict[str, Callable[[], str]] = {
            "absent": self.absent,
            "check": self.check,
            "write": self.write,
            "kill": self.kill,
            "recover": partial(self.recover, timeout_s),
            "reread": partial(self.reread, timeout_s),
        }
        return steps[step]()

    def absent(self) -> str:
        """Check that there is no cluster yet: the scenario is to make one from nothing."""
        with self.open_ceph(self.lab) as ceph:
            there = ceph.site.cluster.find(CLUSTER_PATH) is not None
        if there:
            raise LabError(
                f"lab {self.lab.name} has a Ceph cluster already",
                f"`halab addon disable {self.lab.name} ceph` first",
            )
        return "no Ceph cluster"

    def check(self) -> str:
        """Check that three monitors are in quorum, and three OSDs are up, each on its own host.

        None of them may be on a node that is down.
        """
        with self.open_ceph(self.lab) as ceph:
            health = ceph.health()
            hosts = {daemon: ceph.hosts(f"rook-ceph-{daemon}") for daemon in ("mon", "mgr", "osd")}
        _expect(
            working(health.status, health.codes),
            f"{health.text()}; allowed reasons: {', '.join(ALLOWED)}",
        )
        for daemon in ("mon", "osd"):
            _expect(
                len(set(hosts[daemon])) == len(hosts[daemon]) == REPLICAS,
                f"{daemon} pods on {', '.join(hosts[daemon])}",
            )
        all_hosts = {host for of_daemon in hosts.values() for host in of_daemon}
        off = all_hosts - self._running()
        _expect(not off, f"pods are said to run on {', '.join(off)}, which are off")
        places = (f"{daemon} on {' '.join(of_daemon)}" for daemon, of_daemon in hosts.items())
        return f"{health.text()}; {', '.join(places)}"

    def _running(self) -> set[str]:
        return {node.name for node in self.lab.topology.nodes if self.lab.node(node.name).running}

    def write(self) -> str:
        """Write a random object through the first living node and read it through the last one."""
        with self.open_ceph(self.lab) as ceph:
            hosts = ceph.hosts(TOOLS)
            return self._exchange(ceph, hosts[0], hosts[-1])

    def kill(self) -> str:
        """Kill one OSD pod and one monitor pod; at once write a new object, and read everything."""
        with self.open_ceph(self.lab) as ceph:
            begin = time.monotonic()
            for daemon in ("osd", "mon"):
                self._kill(ceph, f"rook-ceph-{daemon}")
            hosts = ceph.hosts(TOOLS)
            exchanged = self._exchange(ceph, hosts[-1], hosts[0])
            self._read_all(ceph, hosts[0])
            took = time.monotonic() - begin
        killed = ", ".join(f"{row['id']} on {row['node']}" for row in self.killed)
        return f"killed {killed}; {exchanged}; everything read again {took:.1f} s after the kill"

    def _kill(self, ceph: Ceph, app: str) -> None:
        begin = time.monotonic()
        name, node = ceph.kill(app)
        row = {"fault": "pod-kill", "id": name, "node": node}
        self.killed.append(row)
        self.note("fault", at=begin, action="fire", **row)
        self.note("fault", action="proof", detail=f"{name} is deleted, without grace", **row)

    def recover(self, timeout_s: float) -> str:
        """Wait until the monitor and the OSD are back."""

        def healthy() -> Observation:
            with self.open_ceph(self.lab) as ceph:
                health = ceph.health()
            complete = len(health.quorum) == health.osds_up == REPLICAS
            clean = health.pgs_clean == health.pgs
            ok = working(health.status, health.codes) and complete and clean
            return Observation(ok=ok, detail=health.text())

        detail = self._patiently("Ceph has its monitor and its OSD back", healthy, timeout_s)
        for row in self.killed:
            self.note("fault", action="healed", **row)
        self.killed.clear()
        return detail

    def reread(self, timeout_s: float) -> str:
        """Read everything again, through every node that runs.

        A node that has just returned may have no client for a while, and answer late: then it is
        asked again. Another checksum is not asked for again.
        """
        _expect(bool(self.objects), "nothing was written before")
        running = self._running()

        def clients() -> Observation:
            with self.open_ceph(self.lab) as ceph:
                missing = running - set(ceph.hosts(TOOLS))
            return Observation(
                ok=not missing, detail=f"no client yet on {', '.join(sorted(missing))}"
            )

        self._patiently("every node has a client", clients, timeout_s)
        for host in sorted(running):
            self._reread_through(host, timeout_s)
        with self.open_ceph(self.lab) as ceph:
            return (
                f"{len(self.objects)} objects read with the same checksums "
                f"through {', '.join(sorted(running))}; {ceph.health().text()}"
            )

    def _reread_through(self, host: str, timeout_s: float) -> None:
        checksums: dict[str, str] = {}

        def read() -> Observation:
            with self.open_ceph(self.lab) as ceph:
                for name in self.objects.keys() - checksums.keys():
                    checksums[name] = ceph.checksum(host, name)
            return Observation(ok=True, detail=f"{len(checksums)} objects read")

        self._patiently(f"all objects are read through {host}", read, timeout_s)
        for name, checksum in checksums.items():
            self._compare(host, name, checksum)

    def _patiently(self, what: str, ask: Callable[[], Observation], timeout_s: float) -> str:
        """Wait; errors are no answers: while nodes come and go the API may be away for seconds."""
        return until(
            what, lambda: tried(ask), timeout_s=timeout_s, every_s=EVERY_S, cancelled=self.cancelled
        ).detail

    def _exchange(self, ceph: Ceph, writer: str, reader: str) -> str:
        _expect(writer != reader, f"only {writer} has a client")
        name = f"claim-{len(self.objects)}-{secrets.token_hex(4)}"
        self.objects[name] = ceph.put(writer, name, secrets.token_bytes(OBJECT_BYTES))
        self._read(ceph, reader, name)
        checksum = self.objects[name][:12]
        return f"{name} written through {writer}, read through {reader}: sha256 {checksum}…"

    def _read_all(self, ceph: Ceph, reader: str) -> None:
        for name in self.objects:
            self._read(ceph, reader, name)

    def _read(self, ceph: Ceph, reader: str, name: str) -> None:
        self._compare(reader, name, ceph.checksum(reader, name))

    def _compare(self, reader: str, name: str, checksum: str) -> None:
        _expect(
            checksum == self.objects[name],
            f"{name} read through {reader} has sha256 {checksum}, {self.objects[name]} was written",
        )


def _expect(holds: bool, detail: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not holds:
        raise LabError(f"the claim does not hold: {detail}")
