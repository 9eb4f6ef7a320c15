"""Commands that reach nodes and the cluster: what runs is asked, what does not says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fake_engine import FakeEngine

from lab.base.errors import InputError, LabError
from lab.cli import options
from lab.cli.main import cli
from lab.engine import client
from lab.engine.commands import Result
from lab.engine.labels import LABEL_NODE, container_name
from lab.topology.loader import load
from lab.topology.model import to_json

TOPOLOGY = load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The lab 1m1w, whose worker is off."""
    double = FakeEngine()
    double.add_network("halab-1m1w", TOPOLOGY.name, topology=to_json(TOPOLOGY))
    for node in TOPOLOGY.containers:
        double.add(container_name(TOPOLOGY.name, node.name), TOPOLOGY.name)
        double.containers[container_name(TOPOLOGY.name, node.name)].labels[LABEL_NODE] = node.name
    double.stop(container_name(TOPOLOGY.name, "w1"), 1)
    monkeypatch.setattr(client, "connect", lambda: double)
    return double


def test_exec_passes_on_output_and_exit_code(engine: FakeEngine) -> None:
    engine.answers["crm_mon"] = Result(7, "no cluster\n")
    done = CliRunner().invoke(cli, ["exec", "1m1w", "m", "--", "crm_mon", "-1"])
    assert (done.exit_code, done.stdout) == (7, "no cluster\n")
    assert engine.commands == ["halab-1m1w-m: crm_mon -1"]


def test_exec_of_no_command_is_refused() -> None:
    done = CliRunner().invoke(cli, ["exec", "1m1w", "m", "--"])
    assert isinstance(done.exception, InputError)
    assert "crm_mon" in done.exception.hint


def test_logs_show_all_nodes_and_which_do_not_run(engine: FakeEngine) -> None:
    engine.answers["journalctl"] = Result(0, "a line\n")
    done = CliRunner().invoke(cli, ["logs", "1m1w", "-n", "3"])
    assert "--- m\na line\n" in done.stdout
    assert "--- w1\n(not running)\n" in done.stdout


def test_logs_follow_one_node_only(engine: FakeEngine) -> None:
    del engine
    done = CliRunner().invoke(cli, ["logs", "1m1w", "-f"])
    assert isinstance(done.exception, InputError)
    assert "nodes: " in done.exception.hint


def test_shell_hands_the_terminal_to_docker(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del engine
    calls: list[list[str]] = []

    def run(argv: list[str], **_: object) -> SimpleNamespace:
        calls.append(argv)
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    monkeypatch.setattr(subprocess, "run", run)
    assert CliRunner().invoke(cli, ["shell", "1m1w", "m"]).exit_code == 3
    assert calls == [["/bin/docker", "exec", "-it", "halab-1m1w-m", "bash", "-l"]]


def test_kubectl_of_a_master_is_used_when_there_is_none_here(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert CliRunner().invoke(cli, ["kubectl", "1m1w", "--", "get", "nodes"]).exit_code == 0
    assert engine.commands == ["halab-1m1w-m: kubectl get nodes"]
    engine.stop(container_name("1m1w", "m"), 1)
    done = CliRunner().invoke(cli, ["kubectl", "1m1w", "--", "get", "nodes"])
    assert isinstance(done.exception, LabError)
    assert "no master of lab 1m1w runs" in done.exception.message


def test_kubeconfig_of_a_lab_that_is_gone_can_be_taken_out(engine: FakeEngine) -> None:
    del engine
    done = CliRunner().invoke(cli, ["kubeconfig", "gone", "--unmerge"])
    assert done.exit_code == 0
    assert "found no halab-gone in " in done.stderr


def test_one_argument_of_shell_is_the_node() -> None:
    assert options.lab_and_node(("m2",)) == (None, "m2")
    assert options.lab_and_node(("3m3w", "m2")) == ("3m3w", "m2")
