"""The documentation is held against the program: what it must name, and how long it may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_layers import FLOORS

from lab.addons import catalog
from lab.analysis import verdicts
from lab.base import errors
from lab.chaos import targets
from lab.chaos.faults import all_faults
from lab.cli import checks
from lab.cli.main import COMMANDS, EXIT_BUG, EXIT_INTERRUPTED
from lab.topology.schema import schema

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = (
    "README.md",
    ".github/CONTRIBUTING.md",
    "lab/README.md",
    "lab/addons/README.md",
    "lab/testing/README.md",
    "tests/README.md",
    "tests/bench/README.md",
    "topologies/README.md",
)
SCENARIOS = sorted(path.stem for path in (ROOT / "topologies" / "scenarios").glob("*.yaml"))
TOPOLOGIES = sorted(path.stem for path in (ROOT / "topologies").glob("*.yaml"))
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
READS = re.compile(
    r"environ(?:\.get\(|\[)\"([A-Z][A-Z0-9_]+)\"|\"([A-Z][A-Z0-9_]+)\" not in os\.environ"
)
TOP = r"(?:lab|images|topologies|tests|\.github|\.ci)"


def code(text: str) -> set[str]:
    """Return the words in backticks, one for each `…`."""
    return set(re.findall(r"`([^`\n]+)`", text))


def read_by(folder: str) -> set[str]:
    """Return the environment variables that the modules of a folder read by name."""
    texts = [path.read_text() for path in (ROOT / folder).rglob("*.py")]
    return {next(filter(None, found)) for text in texts for found in READS.findall(text)}


def keys(part: dict) -> set[str]:
    """Return every key that a part of the schema and all below it describe."""
    below = [part[word] for word in ("items", "additionalProperties") if word in part]
    below += [*part.get("properties", {}).values(), *part.get("patternProperties", {}).values()]
    own = set(part.get("properties", {}))
    return own.union(*(keys(each) for each in below if isinstance(each, dict)))


@pytest.mark.parametrize("name", [*COMMANDS, *all_faults(), *catalog.names(), *SCENARIOS])
def test_readme_names_every_command_fault_addon_and_scenario(name: str) -> None:
    assert name in code(README)


@pytest.mark.parametrize("target", [*targets.SELECTORS, "role:master", "role:worker", "all"])
def test_readme_names_every_target(target: str) -> None:
    assert target in code(README)


def test_readme_names_every_exit_code() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {value.exit_code for value in classes if issubclass(value, errors.LabError)}
    codes |= {0, EXIT_BUG, EXIT_INTERRUPTED, checks.EXIT_FAIL, *verdicts.EXIT_CODES.values()}
    (sentence,) = re.findall(r"\*\*Exit codes\*\*:(.*?)\n\n", README, re.DOTALL)
    assert {int(number) for number in re.findall(r"\b\d+\b", sentence)} == codes


def test_readme_names_every_environment_variable_of_the_program() -> None:
    assert "DOCKER_HOST" in read_by("lab")
    assert read_by("lab") | {*PROXIES, "INSTALL_K3S_ARTIFACT_URL"} <= code(README)


def test_the_tests_readme_names_every_environment_variable_of_the_tests() -> None:
    named = {name for name in read_by("tests/e2e") if name.startswith("HALAB_")}
    assert "HALAB_SEED" in named
    assert named <= code((ROOT / "tests" / "README.md").read_text())


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_readme_names_every_shipped_topology(name: str) -> None:
    assert f"`{name}`" in README or f"`topologies/{name}.yaml`" in README


def test_readme_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 100
    assert len(README.split()) <= 1200


def test_the_first_commands_are_make_start_and_make_test() -> None:
    commands = re.findall(r"^    \$ (\S+ \S+)", README, re.MULTILINE)
    assert commands[:2] == ["make start", "make test"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    for path in re.findall(rf"(?<![\w/.~-])({TOP}/[\w./-]*\w)", text):
        assert (ROOT / path).exists(), f"{document} names {path}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets_ = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(
        r"(?:`|^    \$? ?)make ([a-z0-9-]+)", (ROOT / document).read_text(), re.MULTILINE
    )
    assert set(named) <= targets_


def test_the_map_names_every_package_on_its_floor() -> None:
    rows = re.findall(
        r"^\| (\d) \| `(\w+)` \|", (ROOT / "lab" / "README.md").read_text(), re.MULTILINE
    )
    floors = enumerate(FLOORS, 1)
    expected = [(str(n), name) for n, names in floors for name in names.split()]
    assert rows == [row for row in expected if row[1] != "__main__"]


@pytest.mark.parametrize("key", sorted(keys(schema())))
def test_every_key_of_a_topology_is_explained(key: str) -> None:
    text = (ROOT / "topologies" / "README.md").read_text()
    assert re.search(rf"^\| \*{{0,2}}`{key}`\*{{0,2}} \|", text, re.MULTILINE)


@pytest.mark.parametrize("name", catalog.names())
def test_every_addon_is_explained(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "lab" / "addons" / "README.md").read_text()


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "Copyright 2026 the halab authors" in text
