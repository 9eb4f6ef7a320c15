"""Versions in a topology: which are taken, which are refused and how, what follows from one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
import yaml

from lab.addons.addon import AddonContext
from lab.base.errors import TopologyError
from lab.lifecycle.desired_state import configuration
from lab.topology import releases
from lab.topology.loader import load, parse
from lab.topology.model import from_json, to_json
from lab.topology.schema import schema

FILE = Path(__file__).parents[3] / "topologies" / "1m1w.yaml"
TEXT = FILE.read_text()
VALIDATOR = jsonschema.Draft202012Validator(schema())


def kubernetes(rows: str) -> str:
    return f"{TEXT}kubernetes: {{{rows}}}\n"


def wrong(rows: str) -> tuple[int, str, str]:
    with pytest.raises(TopologyError) as caught:
        parse(kubernetes(rows), "f.yaml")
    (problem,) = caught.value.problems
    return problem.line, problem.message, problem.hint


def test_versions_are_read() -> None:
    cluster = parse(kubernetes("version: v1.35.4, k3s: v1.34.3+k3s1"), "f.yaml").topology.kubernetes
    assert (cluster.version, cluster.k3s) == ("v1.35.4", "v1.34.3+k3s1")
    assert cluster.distributions == ("k3s", "upstream")


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ("version: v1.36", "is `v1.36`, not a version of Kubernetes", "for example v1.35.4"),
        ("version: latest", "is `latest`, not a version of Kubernetes", "`halab versions`"),
        ("version: 1.35.4", "is `1.35.4`, not a version", "did you mean v1.35.4?"),
        ("version: v1.34.3+k3s1", "is `v1.34.3+k3s1`, not a version", "did you mean v1.34.3?"),
        ("version: v1.035.4", "is `v1.035.4`, not a version", ""),
        ("version: v1.30.9", "is v1.30.9, which is too old", "v1.31 is the oldest"),
        ("version: [v1.35.4]", "must be a single value", ""),
        ("version: ../../etc", "is `../../etc`, not a version", ""),
        ("k3s: v1.34.3", "is `v1.34.3`, not a version of K3s", "did you mean v1.34.3+k3s1?"),
        ("k3s: 1.34.3+k3s2", "is `1.34.3+k3s2`, not", "did you mean v1.34.3+k3s2?"),
        ("k3s: stable", "is `stable`, not a version of K3s", "for example v1.34.3+k3s1"),
        ("k3s: v1.31.14+k3s1", "is v1.31.14+k3s1, which is too old", "v1.32 is the oldest"),
        ("k3s: v1.20.6+k3s1", "is v1.20.6+k3s1, which is too old", "v1.32 is the oldest"),
    ],
)
def test_what_is_no_version_is_refused_in_its_line(row: str, message: str, hint: str) -> None:
    line, said, advice = wrong(row)
    key = row.partition(":")[0]
    assert line == TEXT.count("\n") + 1
    assert said.startswith(f"`kubernetes.{key}` {message}")
    assert hint in advice


@pytest.mark.parametrize("version", ["v1.31.0", "v1.35.4", "v1.37.0-rc.1", "v2.0.0"])
def test_good_versions_are_good_for_editors_too(version: str) -> None:
    text = kubernetes(f"version: {version}")
    assert VALIDATOR.is_valid(yaml.safe_load(text))
    assert parse(text, "f.yaml").topology.kubernetes.version == version


@pytest.mark.parametrize("row", ["version: v1.36", "version: v1.36.5+k3s1", "k3s: v1.36.5"])
def test_an_editor_underlines_bad_ones(row: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(kubernetes(row)))


def test_a_version_can_be_set_on_the_command_line() -> None:
    asked = load(FILE, ("kubernetes.version=v1.35.4",)).topology.kubernetes
    assert (asked.version, asked.distributions) == ("v1.35.4", ("upstream",))
    with pytest.raises(TopologyError, match=r"--set kubernetes\.version: `kubernetes\.version` is"):
        load(FILE, ("kubernetes.version=newest",))


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ("version: v1.35.4", ("upstream",)),
        ("k3s: v1.34.3+k3s1", ("k3s",)),
        ("distributions: [k3s, upstream], version: v1.35.4", ("upstream",)),
        (
            "distributions: [upstream, k3s], version: v1.35.4, k3s: v1.34.3+k3s1",
            ("upstream", "k3s"),
        ),
        ("distributions: [upstream], k3s: v1.34.3+k3s1", ("upstream",)),
    ],
)
def test_who_names_a_version_gets_it_or_nothing(rows: str, taken: tuple[str, ...]) -> None:
    assert parse(kubernetes(rows), "f.yaml").topology.kubernetes.distributions == taken


def test_a_version_that_cannot_be_used_is_told() -> None:
    loaded = parse(kubernetes("distributions: [k3s], version: v1.35.4"), "f.yaml")
    (warning,) = loaded.warnings
    assert warning.message == "`kubernetes.version` v1.35.4 is not used"
    assert warning.hint == "`kubernetes.distributions` does not have upstream"


def test_versions_come_back_from_the_label_and_change_a_lab() -> None:
    plain = load(FILE).topology
    chosen = load(FILE, ("kubernetes.version=v1.35.4", "kubernetes.k3s=v1.34.3+k3s1")).topology
    assert from_json(to_json(chosen)) == chosen
    assert configuration(chosen) != configuration(plain)


def test_a_lab_without_versions_is_that_of_an_older_halab() -> None:
    """Its label and its nodes' fingerprints stay as they were."""
    topology = load(FILE).topology
    data: dict[str, Any] = json.loads(to_json(topology))
    assert not {"version", "k3s"} & set(data["kubernetes"])
    assert from_json(to_json(topology)) == topology


def test_what_a_version_is_asked() -> None:
    assert releases.minor("v1.34.3+k3s1") == (1, 34)
    assert releases.minor("v1.36.3+double") == (1, 36)
    assert releases.minor("v1.9") < (1, 10)
    assert releases.patch("v1.34.10+k3s1") == (1, 34, 10)
    for nothing in ("", "1.34.3", "unknown", "v1.x"):
        with pytest.raises(ValueError, match="is no version"):
            releases.minor(nothing)


@pytest.mark.parametrize(
    ("said", "knows"),
    [("v1.33.9+k3s1", False), ("v1.34.0", True), ("v1.36.3+double", True), ("v2.0.0", True)],
)
def test_add_ons_ask_what_the_clusters_kubernetes_is(said: str, *, knows: bool) -> None:
    cluster = SimpleNamespace(release=lambda: said)
    nothing = cast("Any", None)
    site = AddonContext(load(FILE).topology, nothing, cast("Any", cluster), nothing, nothing)
    assert site.at_least((1, 34)) is knows
