"""Commands that start and stop labs: what their words mean, and what they say at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from fake_engine import FakeEngine

from lab.base.errors import InputError
from lab.cli import lifecycle, options
from lab.cli.main import cli
from lab.engine import client
from lab.engine.labels import LABEL_DISTRIBUTION, LABEL_NODE, container_name
from lab.lifecycle import start
from lab.lifecycle.plan import Action, Plan, PlanStep
from lab.live import lab
from lab.topology.loader import load
from lab.topology.model import to_json

if TYPE_CHECKING:
    from lab.topology.model import Topology

SHIPPED = Path(__file__).parents[3] / "topologies"


def engine_with(*topologies: Topology) -> FakeEngine:
    """Return an engine that holds a lab of each topology."""
    engine = FakeEngine()
    for one in topologies:
        engine.add_network(f"halab-{one.name}", one.name, topology=to_json(one))
    return engine


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Topology:
    """A lab that bears a shipped topology's name, but was made with another value."""
    made = load(SHIPPED / "3m3w.yaml", ("ha.token=400ms",)).topology
    monkeypatch.setattr(client, "connect", lambda: engine_with(made))
    monkeypatch.chdir(tmp_path)
    return made


def meant(word: str, *overrides: str, name: str = "") -> Topology:
    return lifecycle._lab(word, overrides, name).topology


def test_a_word_that_names_a_lab_means_that_lab(changed: Topology) -> None:
    assert meant("3m3w") == changed


def test_files_called_like_a_lab_are_not_in_the_way(changed: Topology) -> None:
    Path("3m3w").mkdir()
    assert meant("3m3w") == changed
    Path("3m3w").rmdir()
    Path("3m3w").write_text("no topology")
    assert meant("3m3w") == changed


def test_whoever_wants_the_file_can_say_so(changed: Topology) -> None:
    shipped = load(SHIPPED / "3m3w.yaml").topology
    Path("3m3w.yaml").write_text((SHIPPED / "3m3w.yaml").read_text())
    assert meant("3m3w.yaml") == meant("./3m3w.yaml") == shipped
    assert meant("3m3w", "ha.token=2s").ha.token_ms == 2000
    assert meant("3m3w", name="other").name == "other"
    assert meant("1m1w").name == "1m1w"


def test_a_folder_does_not_hide_a_shipped_topology(changed: Topology) -> None:
    del changed
    Path("1m1w").mkdir()
    assert meant("1m1w").name == "1m1w"
    Path("demo").mkdir()
    with pytest.raises(InputError, match="demo is a folder"):
        meant("demo")


def test_a_lab_that_is_half_there_is_completed_from_its_file(
    monkeypatch: pytest.MonkeyPatch, topology: Topology
) -> None:
    double = FakeEngine()
    double.add_volume("halab-3m3w-secrets", "3m3w")
    monkeypatch.setattr(client, "connect", lambda: double)
    assert meant("3m3w") == topology
    assert not options.is_lab("3m3w", double)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only half there"):
        lab.find(double, "3m3w")  # type: ignore[arg-type]


class WithoutLoadBalancer(FakeEngine):
    """A double of the engine that publishes no port: the load balancer is off."""

    def published(self, *_: object) -> int:
        return 0


@pytest.fixture
def without_balancer(monkeypatch: pytest.MonkeyPatch) -> WithoutLoadBalancer:
    """The lab 1m1w: the master and the worker run, the load balancer does not."""
    made = load(SHIPPED / "1m1w.yaml").topology
    engine = WithoutLoadBalancer()
    engine.add_network("halab-1m1w", made.name, topology=to_json(made))
    for node in made.containers:
        labels = {LABEL_NODE: node.name, LABEL_DISTRIBUTION: "k3s"}
        engine.add(container_name(made.name, node.name), made.name)
        engine.containers[container_name(made.name, node.name)].labels.update(labels)
    engine.stop(container_name(made.name, "lb"), 1)
    monkeypatch.setattr(lab.Lab, "_read_credentials", lambda *_: None)
    monkeypatch.setattr(client, "connect", lambda: engine)
    return engine


def started(monkeypatch: pytest.MonkeyPatch, *steps: PlanStep) -> None:
    done = start.Started(Plan(steps))
    monkeypatch.setattr(start, "start_node", lambda *_: done)


def test_start_of_a_node_says_what_is_off_when_the_load_balancer_is(
    without_balancer: WithoutLoadBalancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del without_balancer
    started(monkeypatch, PlanStep(action=Action.START, subject="w1", reason="it is off"))
    done = CliRunner().invoke(cli, ["start", "1m1w", "w1"])
    assert done.exit_code == 0, done.output
    assert "w1 runs; still off: lb (`halab start 1m1w` starts all)" in done.stderr
    assert "no kubeconfig was written: the load balancer of lab 1m1w does not run" in done.stderr
    assert "Try next" not in done.stderr
    assert "w1" in done.stdout


def test_start_of_a_node_answers_in_json_when_the_load_balancer_is_off(
    without_balancer: WithoutLoadBalancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del without_balancer
    started(monkeypatch)
    done = CliRunner().invoke(cli, ["start", "1m1w", "w1", "-o", "json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["changed"], answer["kubeconfig"]) == (False, "")
    assert {row["name"]: row["state"] for row in answer["nodes"]}["lb"] == "exited"


def test_list_has_a_row_for_each_lab(without_balancer: WithoutLoadBalancer) -> None:
    del without_balancer
    (row,) = json.loads(CliRunner().invoke(cli, ["list", "-o", "json"]).stdout)
    count = len(load(SHIPPED / "1m1w.yaml").topology.containers)
    assert row == {"name": "1m1w", "distribution": "k3s", "nodes": count, "running": count - 1}
    assert CliRunner().invoke(cli, ["list"]).stdout.split()[-4:] == [
        "1m1w",
        "k3s",
        str(count),
        str(count - 1),
    ]


def test_destroy_says_how_much_it_removed(without_balancer: WithoutLoadBalancer) -> None:
    count = len(without_balancer.containers) + len(without_balancer.networks)
    done = CliRunner().invoke(cli, ["destroy", "1m1w", "-o", "json"])
    assert json.loads(done.stdout) == {"removed": {"1m1w": count}}
    assert f"removed {count} containers, volumes and networks" in done.stderr
    assert not without_balancer.containers
