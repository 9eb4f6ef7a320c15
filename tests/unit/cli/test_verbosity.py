"""`-v` logs what is asked, `-q` leaves hints out; both stand before or after the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner
from halab_runner import halab

from lab.cli.main import cli
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
