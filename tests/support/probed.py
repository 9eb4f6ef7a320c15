"""What probes are made for in tests: the reference lab, and one without workers."""

from __future__ import annotations

from pathlib import Path

from lab.measure.probe import ProbeContext
from lab.topology import loader

ROOT = Path(__file__).parents[2]


TOPOLOGY = loader.load(ROOT / "topologies" / "3m3w.yaml").topology


GROUND = ProbeContext(topology=TOPOLOGY, service_ip="10.43.7.7", node_port=30007)


WITHOUT_WORKERS = ProbeContext(topology=loader.load(ROOT / "topologies" / "3m0w.yaml").topology)
