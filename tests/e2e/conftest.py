"""Real labs, driven by the installed `halab` as a user would. One 3m3w lab is shared by all tests that leave it as they found it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HALAB = Path(sys.executable).parent / "halab"
TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True)
class Cli:
    """The installed command."""

    environment: dict[str, str]

    def __call__(self, *words: str, code: int = 0, timeout: float = 600, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(HALAB), *words], capture_output=True, text=True, timeout=timeout, check=False, env=self.environment, input=stdin
        )
        assert done.returncode == code, f"halab {' '.join(words)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "-o", "json", code=code).stdout)


@pytest.fixture(scope="session")
def halab(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    if not HALAB.exists():
        pytest.fail(f"{HALAB} is missing: `make e2e` installs it")
    home = tmp_path_factory.mktemp("home")
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    # A home of its own: the tests never touch the kubeconfig of whoever runs them. The cache of built binaries is shared.
    cli = Cli({**os.environ, "HOME": str(home), "XDG_CACHE_HOME": cache, "XDG_STATE_HOME": str(home / "state"), "KUBECONFIG": ""})
    if cli("list", code=0).returncode == 0:
        return cli
    raise AssertionError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--distribution", default="upstream", choices=["upstream", "k3s"], help="Which distribution e2e labs run.")


@pytest.fixture(scope="session")
def distribution(request: pytest.FixtureRequest, halab: Cli) -> str:
    wanted = str(request.config.getoption("--distribution"))
    here = {row["image"]: row["here"] for row in halab.json("images", "list")}
    if wanted == "k3s" and not here["k3s"]:
        pytest.skip("K3s's image is not built here: its release cannot be downloaded on this machine")
    return wanted


@pytest.fixture(scope="session")
def lab3(halab: Cli, distribution: str) -> Iterator[str]:
    """The reference lab."""
    name = "e2e"
    halab("destroy", name)
    halab("start", str(TOPOLOGIES / "3m3w.yaml"), "--name", name, "--distribution", distribution, timeout=1800)
    yield name
    if "HALAB_KEEP" not in os.environ:
        halab("destroy", name)


@pytest.fixture
def logs_on_failure(request: pytest.FixtureRequest) -> None:
    """Reserved for tests that want the nodes' journals in their report."""


@dataclass(frozen=True)
class Inside:
    """Commands on nodes and the cluster of one lab."""

    cli: Cli
    lab: str

    def run(self, node: str, *argv: str, code: int = 0) -> str:
        return self.cli("exec", self.lab, node, "--", *argv, code=code).stdout

    def try_run(self, node: str, *argv: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(HALAB), "exec", self.lab, node, "--", *argv], capture_output=True, text=True, timeout=120, check=False, env=self.cli.environment
        )
        return done.returncode, done.stdout + done.stderr

    def kubectl(self, *words: str, node: str = "") -> str:
        if node:
            return self.run(node, "kubectl", *words)
        return self.cli("kubectl", self.lab, "--", *words).stdout

    def status(self) -> Any:
        return self.cli.json("status", self.lab)

    def eventually(self, what: str, ask: Callable[[], bool], timeout: float = 120) -> None:
        begin = time.monotonic()
        while not ask():
            assert time.monotonic() - begin < timeout, f"{what}: not within {timeout} s; status: {json.dumps(self.status())[:2000]}"
            time.sleep(0.5)


@pytest.fixture
def inside(halab: Cli, lab3: str) -> Inside:
    return Inside(halab, lab3)


def docker(*words: str) -> str:
    tool = shutil.which("docker")
    assert tool
    return subprocess.run([tool, *words], capture_output=True, text=True, check=True).stdout
