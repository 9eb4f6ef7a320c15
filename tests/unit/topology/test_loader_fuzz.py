"""Whatever stands in the file: a topology or a LabError comes out, and nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.base.errors import LabError, TopologyError
from lab.topology.loader import Loaded, parse
from lab.topology.model import from_json, to_json
from lab.topology.schema import KEYS

REFERENCE = (Path(__file__).parents[3] / "topologies" / "3m3w.yaml").read_text()
MANY = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

WORDS = sorted({key for keys in KEYS.values() for key in keys} | {"m", "lb", "no", "<<", "="})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.dates(),
    st.sampled_from(
        [
            "1s",
            "400ms",
            "172.30.0.0/24",
            "172.30.0.9",
            "10.42.0.0/16",
            "master",
            "k3s",
            "dns-ha",
            "1:30",
            "1_0",
        ]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(WORDS) | st.text(max_size=5) | st.integers(), inner, max_size=6
        )
    ),
    max_leaves=25,
)
SECTIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS[""], TREES))
BREAKERS = (
    "&a ",
    "*a",
    "!!x ",
    "---\n",
    "%TAG ! x",
    "%YAML 9.9\n",
    '"\\UFFFFFFFF"',
    "9" * 5000,
    "\ud800",
    "\ufeff",
    "\x85",
    "\0",
)
PIECES = st.sampled_from((*BREAKERS, "- ", "<<: ", "no", "é", *" \n\t{}[]:'|0/.#~\\`@?"))


def outcome(text: str, sets: tuple[str, ...], name: str) -> Loaded | LabError:
    try:
        return parse(text, "f.yaml", sets, name)
    except LabError as error:
        return error


def judge(text: str, *sets: str, name: str = "") -> None:
    """Anything but a Loaded or a LabError with a hint, a line and printable text fails."""
    result = outcome(text, sets, name)
    if isinstance(result, Loaded):
        assert from_json(to_json(result.topology)) == result.topology
        return
    assert isinstance(result, TopologyError)
    assert result.problems
    assert all(problem.message and problem.hint for problem in result.problems)
    assert all(0 <= problem.line <= len(text) + 2 for problem in result.problems)
    assert str(result).replace("\n", "").isprintable()


@MANY
@given(st.text())
def test_random_text(text: str) -> None:
    judge(text)


@MANY
@given(SECTIONS | TREES)
def test_random_structures(tree: object) -> None:
    judge(yaml.safe_dump(tree, allow_unicode=True))


@MANY
@given(
    st.lists(
        st.tuples(st.integers(0, len(REFERENCE)), st.integers(0, 12), PIECES | st.text(max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_mutations_of_the_reference(edits: list[tuple[int, int, str]]) -> None:
    text = REFERENCE
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    judge(text)


@MANY
@given(
    st.lists(
        st.builds(
            lambda path, value: f"{'.'.join(path)}={value}",
            st.lists(st.sampled_from(WORDS) | st.text(max_size=4), min_size=1, max_size=4),
            PIECES | st.text(max_size=12) | SCALARS.map(str),
        )
        | st.text(max_size=20),
        max_size=3,
    ),
    st.text(max_size=35),
)
def test_random_overrides(sets: list[str], name: str) -> None:
    judge(REFERENCE, *sets, name=name)
