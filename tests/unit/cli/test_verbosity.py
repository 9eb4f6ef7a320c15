"""`-v` logs what is asked, `-q` leaves hints out; both stand before or after the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner
from halab_runner import halab

from lab.cli.main import cli
from lab.engine import client
from lab.engine.errors import engine_errors

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_verbose_and_quiet_stand_before_or_after_the_command() -> None:
    for words in (("-v", "-q", "schema"), ("schema", "-v", "-q"), ("addon", "list", "-qv")):
        halab(*words)


def test_verbose_logs_what_is_asked_of_the_engine_and_of_nodes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="halab")
    with engine_errors("looking at x"):
        pass
    assert caplog.records[-1].name == "halab.engine"
    assert "looking at x: " in caplog.text


def test_quiet_leaves_hints_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loud = CliRunner().invoke(cli, ["init", "a.yaml"])
    quiet = CliRunner().invoke(cli, ["init", "b.yaml", "-q"])
    assert loud.exit_code == quiet.exit_code == 0
    assert "next: halab start a.yaml" in loud.stderr
    assert quiet.stderr == ""


class AskedEngine:
    """An engine without labs, which is asked for them as the real one is."""

    def labs(self) -> dict[str, object]:
        with engine_errors("listing what bears halab.lab"):
            return {}


def test_verbose_prints_the_log_for_this_command_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "connect", AskedEngine)
    assert " ms  halab.engine: listing what bears halab.lab: " in halab("-v", "list").stderr
    assert "halab.engine" not in halab("list").stderr
