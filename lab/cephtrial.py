"""The reference installation's last test: with the first master and a random worker down, Ceph is made from nothing and works.

Each step is a function of its own, so that a scenario can tell when it ran and what was seen; `claim` runs them in order. A step that
does not hold raises LabError: what was expected, what was seen. Nothing is healed on the way, so that a failed lab can be looked at;
`give_back` powers on what is off.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import enable
from lab.addons._ceph import Ceph
from lab.addons._rook import REPLICAS, TOOLS
from lab.addons.ceph import ALLOWED, working
from lab.chaos import Chaos
from lab.errors import LabError
from lab.kube import node_ready
from lab.wait import Observation, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.lab import Lab

NOT_READY_TIMEOUT_S = 120
"""Until Kubernetes calls a dead node NotReady: its grace period, 50 s by default."""
WHOLE_TIMEOUT_S = 300
IO_TIMEOUT_S = 60
"""For one write or read while a monitor and an OSD are away: clients look for another monitor after some seconds."""
OBJECT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """What a step took (seconds) and what was seen at its end."""

    name: str
    seconds: float
    seen: str


@dataclass(slots=True)
class CephTrial:
    """One run of the claim on a running lab with three masters and three workers or more."""

    lab: Lab
    seed: int
    down: tuple[str, ...] = ()
    objects: dict[str, str] = field(default_factory=dict)
    """What was written: name → SHA-256."""
    steps: list[Step] = field(default_factory=list)

    def cut(self) -> str:
        """Cut the power of the first master and of a random worker (the same seed, the same worker), and wait until both are NotReady."""
        chaos = Chaos(self.lab)
        words = ("@first-master", "@random-worker")
        self.down = tuple(name for word in words for name in chaos.targets(word, self.seed))
        chaos.inject("power-cut", self.down, {})

        def known() -> Observation:
            with self.lab.cluster() as cluster:
                left = [name for name, item in cluster.nodes().items() if name in self.down and node_ready(item)[0]]
            return Observation(ok=not left, seen=f"still Ready: {', '.join(left)}")

        _patiently(f"{', '.join(self.down)} are NotReady", known, NOT_READY_TIMEOUT_S)
        return f"seed {self.seed}: {', '.join(self.down)} are down"

    def create(self) -> str:
        """Make the cluster from nothing on what is left. Raises LabError where it was there before."""
        with enable.hand(self.lab) as hand:
            outcome = hand.enable("ceph")
        if not outcome.changed:
            raise LabError("Ceph was there before: the claim is about making it from nothing", "`halab addon disable LAB ceph` first")
        return outcome.seen

    def check(self) -> str:
        """See three monitors in quorum and three OSDs on three hosts each, none of them on a node that is down."""
        with self._ceph() as ceph:
            health = ceph.health()
            places = {word: ceph.hosts(f"rook-ceph-{word}") for word in ("mon", "mgr", "osd")}
        _expect(working(health.status, health.codes), f"{health.text()}; allowed reasons: {', '.join(ALLOWED)}")
        for word in ("mon", "osd"):
            _expect(len(set(places[word])) == len(places[word]) == REPLICAS, f"{word} pods on {', '.join(places[word])}")
        dead = {place for found in places.values() for place in found} & set(self.down)
        _expect(not dead, f"pods are said to run on {', '.join(dead)}, which are off")
        return f"{health.text()}; " + ", ".join(f"{word} on {' '.join(found)}" for word, found in places.items())

    def write(self) -> str:
        """Write a random object through the first living node and read it through the last one."""
        with self._ceph() as ceph:
            hosts = ceph.hosts(TOOLS)
            return self._exchange(ceph, hosts[0], hosts[-1])

    def kill(self) -> str:
        """End one OSD pod and one monitor pod by force; at once, what was written is read, and new objects are written and read."""
        with self._ceph() as ceph:
            victims = [ceph.kill(f"rook-ceph-{word}") for word in ("osd", "mon")]
            begin = time.monotonic()
            hosts = ceph.hosts(TOOLS)
            seen = self._exchange(ceph, hosts[-1], hosts[0])
            self._read_all(ceph, hosts[0])
            took = time.monotonic() - begin
        killed = ", ".join(f"{name} on {node}" for name, node in victims)
        return f"killed {killed}; {seen}; everything read again {took:.1f} s after the kill"

    def recover(self) -> str:
        """Wait until the monitor and the OSD are back."""

        def whole() -> Observation:
            with self._ceph() as ceph:
                health = ceph.health()
            good = working(health.status, health.codes) and len(health.quorum) == health.osds_up == REPLICAS
            return Observation(ok=good and health.pgs_clean == health.pgs, seen=health.text())

        return _patiently("Ceph has its monitor and its OSD back", whole, WHOLE_TIMEOUT_S).seen

    def give_back(self) -> str:
        """Power the two nodes on, and wait until all nodes are Ready."""
        Chaos(self.lab).heal()

        def ready() -> Observation:
            with self.lab.cluster() as cluster:
                waiting = [name for name, item in cluster.nodes().items() if not node_ready(item)[0]]
            return Observation(ok=not waiting, seen=f"not Ready: {', '.join(waiting)}")

        _patiently("all nodes are Ready", ready, WHOLE_TIMEOUT_S)
        with enable.hand(self.lab) as hand:
            hand.images(*self.down)
        return f"{len(self.lab.topology.nodes)} nodes Ready"

    def reread(self) -> str:
        """Read everything again, through each node that has a client."""
        with self._ceph() as ceph:
            hosts = ceph.hosts(TOOLS)
            for host in hosts:
                self._read_all(ceph, host)
            return f"{len(self.objects)} objects read with the same checksums through {', '.join(hosts)}; {ceph.health().text()}"

    def run(self, name: str, told: Callable[[str], None] = lambda _: None) -> Step:
        """Run a step by name, remember and give what it took."""
        begin = time.monotonic()
        seen = getattr(self, name)()
        step = Step(name, round(time.monotonic() - begin, 1), seen)
        self.steps.append(step)
        told(f"{name}: {step.seconds} s, {seen}")
        return step

    @contextlib.contextmanager
    def _ceph(self) -> Iterator[Ceph]:
        with enable.hand(self.lab) as hand:
            yield Ceph(hand.site)

    def _exchange(self, ceph: Ceph, writer: str, reader: str) -> str:
        _expect(writer != reader, f"only {writer} has a client")
        name = f"claim-{len(self.objects)}-{secrets.token_hex(4)}"
        self.objects[name] = ceph.put(writer, name, secrets.token_bytes(OBJECT_BYTES))
        self._read(ceph, reader, name)
        return f"{name} written through {writer}, read through {reader}: sha256 {self.objects[name][:12]}…"

    def _read_all(self, ceph: Ceph, reader: str) -> None:
        for name in self.objects:
            self._read(ceph, reader, name)

    def _read(self, ceph: Ceph, reader: str, name: str) -> None:
        found = ceph.checksum(reader, name)
        _expect(found == self.objects[name], f"{name} read through {reader} has sha256 {found}, {self.objects[name]} was written")


STEPS = ("cut", "create", "check", "write", "kill", "recover", "give_back", "reread")


def claim(lab: Lab, seed: int, told: Callable[[str], None] = lambda _: None) -> CephTrial:
    """Run the whole claim; gives the trial with its steps. Raises LabError where a step does not hold."""
    trial = CephTrial(lab, seed)
    for name in STEPS:
        trial.run(name, told)
    return trial


def _expect(holds: bool, seen: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not holds:
        raise LabError(f"the claim does not hold: {seen}")


def _patiently(what: str, ask: Callable[[], Observation], timeout_s: float) -> Observation:
    """Wait; while nodes come and go the API may be away for seconds, which is not yet an answer."""

    def tried() -> Observation:
        try:
            return ask()
        except LabError as error:
            return Observation(ok=False, seen=error.message.splitlines()[0][:200])

    return until(what, tried, timeout_s=timeout_s, every_s=2)
