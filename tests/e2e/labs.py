"""Real labs, driven by the installed `halab` as a user would: what the fixtures hand to tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.topology.model import from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.topology.model import Topology

HALAB = Path(sys.executable).parent / "halab"
ETC = "/etc/halab"
TOPOLOGIES = Path(__file__).parents[2] / "topologies"
BESIDE_OTHERS = ("--set", "network.subnet=auto")
"""For `halab start`: the file's subnet, or a free one if a lab of whoever runs the tests has it."""


@dataclass(frozen=True)
class Cli:
    """The installed command."""

    environment: dict[str, str]

    def __call__(
        self, *words: str, code: int = 0, timeout: float = 600, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(HALAB), *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self.environment,
            input=stdin,
        )
        assert done.returncode == code, (
            f"halab {' '.join(words)} ended with {done.returncode}\n"
            f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, code: int = 0, timeout: float = 600) -> Any:
        return json.loads(self(*words, "-o", "json", code=code, timeout=timeout).stdout)


def command(home: Path) -> Cli:
    """The command with a home of its own.

    It never touches the kubeconfig of whoever runs the tests. The cache of built binaries is
    shared.
    """
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Cli(
        {
            **os.environ,
            "HOME": str(home),
            "XDG_CACHE_HOME": cache,
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_DATA_HOME": str(home / "data"),
            "KUBECONFIG": "",
        }
    )


@dataclass(frozen=True)
class Distribution:
    """What a lab of these tests runs: its values of the topology, and where the two differ."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    double: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """What `halab start` is told."""
        values = (
            word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")
        )
        return ("--distribution", self.name, *values)

    @property
    def api_unit(self) -> str:
        """The unit whose end ends a master's API server."""
        return {"upstream": "kube-apiserver", "k3s": "k3s"}[self.name]


@dataclass(frozen=True)
class Inside:
    """Commands on nodes and the cluster of one lab."""

    cli: Cli
    lab: str

    def run(self, node: str, *argv: str, code: int = 0) -> str:
        return self.cli("exec", self.lab, node, "--", *argv, code=code).stdout

    def try_run(self, node: str, *argv: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(HALAB), "exec", self.lab, node, "--", *argv],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.cli.environment,
        )
        return done.returncode, done.stdout + done.stderr

    def kubectl(self, *words: str, node: str = "") -> str:
        if node:
            return self.run(node, "kubectl", *words)
        return self.cli("kubectl", self.lab, "--", *words).stdout

    def api(self, host: str) -> bool:
        """Whether a master serves there, by the lab's authority, asked as the balancer does."""
        own = ("--cert", f"{ETC}/health.crt", "--key", f"{ETC}/health.key")
        proof = ("--cacert", f"{ETC}/ca.crt", *own)
        argv = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", *proof)
        return self.try_run("lb", *argv, f"https://{host}:6443/readyz")[1] == "200"

    def status(self) -> Any:
        return self.cli.json("status", self.lab)

    @property
    def topology(self) -> Topology:
        """What the lab was made of, as its network's label has it."""
        label = '{{index .Labels "halab.topology"}}'
        return from_json(docker("network", "inspect", "-f", label, f"halab-{self.lab}"))

    @property
    def vip(self) -> str:
        return str(self.topology.network.vip)

    def eventually(self, what: str, ask: Callable[[], bool], timeout: float = 120) -> None:
        begin = time.monotonic()
        while not ask():
            assert time.monotonic() - begin < timeout, (
                f"{what}: not within {timeout} s; status: {json.dumps(self.status())[:2000]}"
            )
            time.sleep(0.5)


def docker(*words: str) -> str:
    tool = shutil.which("docker")
    assert tool
    return subprocess.run([tool, *words], capture_output=True, text=True, check=True).stdout
