"""Commands about topology files: every problem at once, nothing overwritten, trust told."""

from __future__ import annotations

import json
from pathlib import Path

from halab_runner import halab

TOPOLOGIES = Path(__file__).parents[3] / "topologies"


def test_every_problem_of_a_file_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = (
        (TOPOLOGIES / "3m3w.yaml")
        .read_text()
        .replace("172.30.0.41", "10.0.0.1")
        .replace("role: worker", "role: wroker", 1)
    )
    (tmp_path / "bad.yaml").write_text(text)
    lines = halab("validate", "bad.yaml", code=2, cwd=tmp_path).stderr.splitlines()
    assert len([line for line in lines if "bad.yaml:" in line]) >= 2


def test_init_writes_a_copy_and_never_over_something(tmp_path: Path) -> None:
    halab("init", "my.yaml", "--from", "1m1w", cwd=tmp_path)
    assert (tmp_path / "my.yaml").read_text() == (TOPOLOGIES / "1m1w.yaml").read_text()
    assert (
        json.loads(halab("validate", "my.yaml", "-o", "json", cwd=tmp_path).stdout)["masters"] == 1
    )
    (tmp_path / "my.yaml").write_text("mine")
    halab("init", "my.yaml", code=2, cwd=tmp_path)
    assert (tmp_path / "my.yaml").read_text() == "mine"


def test_validate_says_what_a_file_would_run_as_root(tmp_path: Path) -> None:
    assert halab("validate", "3m3w").stderr == ""
    text = (TOPOLOGIES / "1m1w.yaml").read_text()
    scenario = "{name: mine, steps: [{exec: [id], target: m}], expect: []}"
    (tmp_path / "k3s").write_text("#!/bin/sh")
    own = f"images: {{k3s_binary: k3s}}\nscenarios: [{scenario}]\n"
    (tmp_path / "foreign.yaml").write_text(text + own)
    told = halab("validate", "foreign.yaml", cwd=tmp_path).stderr
    assert "its own K3s binary or images and commands for nodes (scenario mine)" in told
    assert "this runs as root on this machine: start such a file only if you trust it" in told


def test_schema_and_completion_are_printed() -> None:
    assert json.loads(halab("schema").stdout)["type"] == "object"
    for shell in ("bash", "zsh", "fish"):
        assert "_HALAB_COMPLETE" in halab("completion", shell).stdout
