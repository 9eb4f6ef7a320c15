"""kubeadm's sequence to a ready 3m3w beside halab's start of the same, by turns; prints a table.

bench/kubeadm.py [--runs N] [--snapshot] [--idle S] [--only kubeadm|halab] [--others]

The same machines (image, privileges, volumes, network), the same programs, the same question when
it is over: all nodes Ready, DNS answers. kubeadm's sequence is kind's: `init --upload-certs`
behind a load balancer, flannel applied, two masters joined one after the other, three workers
together. Its images lie in each node's containerd before, as in kind's node image: that is in no
figure, nor are builds. halab's seconds are those of the whole command.

All is removed at the end, also after ^C, by the label of its two labs, `kadm` and `kadm-halab`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import others
import resources
from halab_command import HALAB, timed
from kubeadm_machines import STEPS, Cluster

from lab.base.progress import Silent
from lab.engine.client import connect
from lab.engine.labels import LABEL
from lab.images.builder import Builder
from lab.images.sources import sources_for
from lab.lifecycle.removal import destroy
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.engine.client import Engine

ROOT = Path(__file__).parents[2]
TOPOLOGY = ROOT / "topologies" / "3m3w.yaml"
KUBEADM, OURS, SNAPSHOT = "kadm", "kadm-halab", "kadm-snapshot"
SUBNET = "172.31.240.0/24"
SETTLE_S = 30
"""Between the last step and a look at what is used: controllers have their first rounds then."""
START, FROM = "halab start", "halab start --from"
KUBEADM_TOTAL, KUBEADM_BOOTED = "kubeadm, from nothing", "kubeadm, from machines booted"


def load() -> float:
    """Return the host's load: what else ran beside."""
    return os.getloadavg()[0]


@dataclass
class Figures:
    """What was measured: a row's name → a value of each run."""

    rows: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, value: float) -> None:
        self.rows.setdefault(what, []).append(value)
        print(f"  {what}: {value:.2f}", file=sys.stderr, flush=True)

    def ratio(self, what: str, over: str) -> list[float]:
        """Return the ratios of two rows, run by run: both of a run were measured side by side."""
        pairs = zip(self.rows.get(what, []), self.rows.get(over, []), strict=False)
        return [one / other for one, other in pairs]

    def table(self) -> str:
        """Return all rows, the ratios, and what was skipped."""
        lines = [f"{'what':44} {'median':>8} {'worst':>8}  runs"]
        ratios = {
            f"{KUBEADM_TOTAL} / {START}": self.ratio(KUBEADM_TOTAL, START),
            f"{KUBEADM_TOTAL} / {FROM}": self.ratio(KUBEADM_TOTAL, FROM),
        }
        lines += [_row(what, values, max) for what, values in self.rows.items()]
        lines += [_row(what, values, min) for what, values in ratios.items() if values]
        return "\n".join(
            [*lines, *(f"{what:44} skipped: {why}" for what, why in self.skipped.items())]
        )


def _row(what: str, values: list[float], worst: Any) -> str:
    each = " ".join(f"{value:.2f}" for value in values)
    return f"{what:44} {statistics.median(values):8.2f} {worst(values):8.2f}  {each}"


@dataclass
class Bench:
    """The two sides, and what was measured."""

    engine: Engine
    builder: Builder
    image: str
    idle_s: float
    subnet: str
    snapshot: bool = False
    figures: Figures = field(default_factory=Figures)

    def kubeadm(self) -> None:
        """Make a cluster by kubeadm's sequence, look at what it uses, remove it."""
        settings = (f"network.subnet={self.subnet}", "loadbalancer.host_port=0")
        topology = loader.load(TOPOLOGY, settings, KUBEADM).topology
        version = self.builder.versions.components["kubernetes"].version
        cluster = Cluster(self.engine, topology, self.image, self.builder.tags, version, Silent())
        try:
            cluster.make_machines()
            cluster.bring_up()
            for step in STEPS:
                self.figures.note(f"kubeadm: {step}", cluster.steps.seconds[step])
            self.figures.note(KUBEADM_BOOTED, cluster.steps.since_boot())
            self.figures.note(KUBEADM_TOTAL, cluster.steps.total())
            self._spent("kubeadm", KUBEADM)
            self._look("kubeadm", KUBEADM)
        finally:
            cluster.remove()

    def halab(self) -> None:
        """Start a lab, look at what it uses, save it at the first time, destroy it."""
        settings = (f"network.subnet={self.subnet}", "loadbalancer.host_port=0")
        words = [word for setting in settings for word in ("--set", setting)]
        try:
            seconds = timed(
                "start", str(TOPOLOGY), "--name", OURS, "--distribution", "upstream", *words
            )
            self.figures.note(START, seconds)
            self._spent("halab", OURS)
            self._look("halab", OURS)
            if self.snapshot and FROM not in self.figures.rows:
                timed("snapshot", "save", OURS, SNAPSHOT)
        finally:
            destroy(self.engine, OURS, Silent())
        if self.snapshot:
            self._restored()

    def _restored(self) -> None:
        words = ("--set", f"network.subnet={self.subnet}")
        try:
            seconds = timed("start", "--from", SNAPSHOT, "--name", OURS, *words)
            self.figures.note(FROM, seconds)
        finally:
            destroy(self.engine, OURS, Silent())

    def _spent(self, side: str, lab: str) -> None:
        spent = resources.spent(f"{LABEL}={lab}")
        self.figures.note(f"{side}: until ready (core-seconds)", spent)

    def _look(self, side: str, lab: str) -> None:
        if self.idle_s:
            time.sleep(SETTLE_S)
            usage = resources.used(f"{LABEL}={lab}", self.idle_s)
            self.figures.note(f"{side}: idle memory (GiB)", usage.gib)
            self.figures.note(f"{side}: idle CPU (cores)", usage.cores)

    def turns(self, runs: int, only: str) -> None:
        """Measure both sides in each run; every other one begins with halab."""
        for number in range(runs):
            sides = [("kubeadm", self.kubeadm), ("halab", self.halab)]
            for name, side in reversed(sides) if number % 2 else sides:
                if only in {"", name}:
                    self.figures.note(f"load of the host before {name}", load())
                    side()


@contextlib.contextmanager
def removing(engine: Engine) -> Iterator[None]:
    """Remove both labs and the snapshot at the end, also after ^C, and what a killed run left."""

    def clear() -> None:
        for lab in (KUBEADM, OURS):
            destroy(engine, lab, Silent())
        subprocess.run(
            [*HALAB, "-q", "snapshot", "remove", SNAPSHOT], capture_output=True, check=False
        )

    for one in (signal.SIGTERM, signal.SIGINT):  # also where the shell has it ignored
        signal.signal(one, signal.default_int_handler)
    clear()
    try:
        yield
    finally:
        clear()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--idle", type=float, default=30, help="seconds; 0: look at no use")
    parser.add_argument("--only", choices=("", "kubeadm", "halab"), default="")
    parser.add_argument("--snapshot", action="store_true", help="start from a snapshot, too")
    parser.add_argument("--others", action="store_true", help="k3d, kind and minikube, too")
    parser.add_argument("--subnet", default=SUBNET)
    chosen = parser.parse_args()
    import kubeadm_image

    engine = connect()
    builder = Builder(engine, sources_for(engine), Silent())
    print("making images, which is not measured", file=sys.stderr)
    builder.build("upstream")
    image = kubeadm_image.image(builder)
    bench = Bench(engine, builder, image, chosen.idle, chosen.subnet, chosen.snapshot)
    with removing(engine):
        bench.turns(chosen.runs, chosen.only)
        if chosen.others:
            others.measure_all(KUBEADM, lambda what, result: _note(bench.figures, what, result))
    print(bench.figures.table())


def _note(figures: Figures, what: str, result: float | str) -> None:
    if isinstance(result, str):
        figures.skipped[what] = result
    else:
        figures.note(what, result)


if __name__ == "__main__":
    main()
