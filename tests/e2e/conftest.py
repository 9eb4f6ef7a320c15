"""Real labs, driven by the installed `halab` as a user would.

One 3m3w lab is shared by all tests that leave it as they found it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import k3s_source
import pytest
from labs import BESIDE_OTHERS, HALAB, TOPOLOGIES, Cli, Distribution, Inside, command

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def halab(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    if not HALAB.exists():
        pytest.fail(f"{HALAB} is missing: `make e2e` installs it")
    cli = command(tmp_path_factory.mktemp("home"))
    for row in cli.json("list"):  # what a killed run of these tests left has their subnet and names
        if row["name"].startswith("e2e"):
            cli("destroy", row["name"])
    return cli


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Each try of a test begins with its set-up.
    before = report.when != "setup" and item.stash.get(FAILED, False)
    item.stash[FAILED] = before or report.failed
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--distribution",
        default="upstream",
        choices=["upstream", "k3s"],
        help="Which distribution e2e labs run.",
    )


@pytest.fixture(scope="session")
def distribution(request: pytest.FixtureRequest) -> Distribution:
    if request.config.getoption("--distribution") == "upstream":
        return Distribution("upstream", ("--distribution", "upstream"))
    found = k3s_source.find()
    values = [word for value in found.words for word in ("--set", value)]
    return Distribution("k3s", ("--distribution", "k3s", *values), found.double)


@pytest.fixture(scope="session")
def lab3(halab: Cli, distribution: Distribution) -> Iterator[str]:
    """The reference lab.

    HALAB_LAB names one that runs already, of any subnet, for whoever works on the tests.
    """
    if running := os.environ.get("HALAB_LAB"):
        yield running
        return
    name = "e2e"
    halab("destroy", name)
    words = ("--name", name, *BESIDE_OTHERS, *distribution.words)
    halab("start", str(TOPOLOGIES / "3m3w.yaml"), *words, timeout=1800)
    yield name
    if "HALAB_KEEP" not in os.environ:
        halab("destroy", name)


@pytest.fixture
def inside(halab: Cli, lab3: str, request: pytest.FixtureRequest) -> Iterator[Inside]:
    yield Inside(halab, lab3)
    if request.node.stash.get(
        FAILED, False
    ):  # one defect is one failure: the next test finds a whole lab
        halab("fault", "heal", lab3)
        halab("start", lab3)
