"""Real labs, driven by the installed `halab` as a user would, and lent by halab's own plug-in.

One 3m3w lab, the plug-in's `halab_lab`, is shared by all tests that leave it as they found it. The
plug-in makes it whole after a test that failed; its options choose another (tests/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import k3s_source
import pytest
from labs import HALAB, TOPOLOGIES, Cli, Distribution, Inside, command

from lab.base import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.testing import HalabLab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def halab() -> Iterator[Cli]:
    """The installed command; this process, and so the plug-in, works in the same home.

    The home is the same for each run, so the plug-in removes the lab of a run that was killed.
    """
    if not HALAB.exists():
        pytest.fail(f"{HALAB} is missing: `make e2e` installs it")
    cli = command(paths.cache() / "e2e-home")
    for row in cli.json("list"):  # what a killed run of these tests left has their subnet and names
        if row["name"].startswith("e2e"):
            cli("destroy", row["name"])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "KUBECONFIG"):
            patch.setenv(name, cli.environment[name])
        yield cli


@pytest.fixture(scope="session")
def distribution(request: pytest.FixtureRequest) -> Distribution:
    if request.config.getoption("halab_distribution") != "k3s":
        return Distribution("upstream")
    k3s = k3s_source.find()
    return Distribution("k3s", k3s.settings, k3s.double)


@pytest.fixture(scope="session")
def halab_defaults(halab: Cli, distribution: Distribution) -> dict[str, Any]:
    """What the plug-in's labs are; they are started in the home that `halab` has made."""
    del halab
    return {
        "topology": str(TOPOLOGIES / "3m3w.yaml"),
        "distribution": distribution.name,
        "set": distribution.settings,
    }


@pytest.fixture(scope="session")
def lab3(halab_lab: HalabLab) -> str:
    """The reference lab's name."""
    return halab_lab.name


@pytest.fixture
def inside(halab: Cli, lab3: str) -> Inside:
    return Inside(halab, lab3)
