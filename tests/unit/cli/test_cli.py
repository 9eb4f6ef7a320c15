"""The command line where no engine answers: messages, exit codes, nothing written, never a traceback."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner

from lab.base.errors import EngineError, ImageError, LabError
from lab.base.progress import Silent
from lab.cli import cli, images
from lab.engine import client
from lab.engine.errors import engine_errors
from lab.images.builder import Builder
from lab.images.sources import Sources

TOPOLOGIES = Path(__file__).parents[3] / "topologies"


def halab(*words: str, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    done = subprocess.run(
        [sys.executable, "-m", "lab", *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_help_lists_every_command_and_each_has_an_example() -> None:
    from lab.cli import COMMANDS, SUMMARIES

    assert set(COMMANDS) == set(SUMMARIES)
    text = halab("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text
    for name in (
        "start",
        "plan",
        "status",
        "stop",
        "destroy",
        "validate",
        "init",
        "exec",
        "logs",
        "kubectl",
        "kubeconfig",
        "doctor",
        "completion",
    ):
        assert "Example" in halab(name, "--help").stdout, name


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("status",),
        ("start", str(TOPOLOGIES / "1m1w.yaml")),
        ("destroy", "x"),
        ("images", "list"),
    ],
)
def test_no_engine_is_one_message_with_a_remedy(words: tuple[str, ...]) -> None:
    done = halab(*words, code=1)
    assert "no Docker engine answers" in done.stderr
    assert "start Docker" in done.stderr


def test_a_refused_user_is_told_how_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise docker.errors.DockerException(
            "('Connection aborted.', PermissionError(13, 'Permission denied'))"
        )

    monkeypatch.setattr(docker, "from_env", refuse)
    with pytest.raises(EngineError, match="permission denied") as caught:
        client.connect()
    assert "usermod -aG docker" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("bogus",), "no command `bogus`"),
        (("statsu",), "Did you mean `status`?"),
        (("start", "nowhere.yaml"), "nowhere.yaml"),
        (("start", "nothing"), "no Docker engine answers"),
        (("validate", "nothing"), "shipped topologies: 1m1w, 3m0w, 3m3w, 5m2w"),
        (("validate", "3m3w", "--set", "ha.tokn=1s"), "did you mean `token`"),
        (("validate", "3m3w", "--set", "name=a;b"), "--set name"),
        (("kubeconfig", "x", "--merge", "--unmerge"), "exclude each other"),
    ],
)
def test_bad_input_says_what_and_what_to_do(words: tuple[str, ...], expected: str) -> None:
    code = 1 if "no Docker" in expected else 2
    assert expected in halab(*words, code=code).stderr


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
    assert "as root on this machine: start such a file only if you trust it" in told


class InUse:
    """A double of a builder whose engine holds three images, one of them in use."""

    def __init__(self) -> None:
        self.engine, self.removed = self, list[str]()

    def images(self) -> dict[str, dict[str, int]]:
        return {f"halab/{name}:1": {} for name in ("base", "node", "upstream")}

    def labs(self) -> dict[str, str]:
        return {"3m3w": ""}

    def remove_image(self, tag: str) -> None:
        if "node" in tag:
            raise EngineError(f"removing image {tag}: conflict: container 12ab is using it")
        self.removed.append(tag)


def test_images_remove_goes_on_behind_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    double = InUse()
    monkeypatch.setattr(images, "_builder", lambda: double)
    done = CliRunner().invoke(images.remove_command)
    assert double.removed == ["halab/base:1", "halab/upstream:1"]
    assert isinstance(done.exception, LabError)
    assert "1 of the images stay" in done.exception.message
    assert "container 12ab is using it" in done.exception.message
    assert "labs here: 3m3w" in done.exception.hint


def test_schema_and_completion_are_printed() -> None:
    assert json.loads(halab("schema").stdout)["type"] == "object"
    for shell in ("bash", "zsh", "fish"):
        assert "_HALAB_COMPLETE" in halab("completion", shell).stdout


def test_doctor_describes_a_machine_without_an_engine() -> None:
    found = {row["name"]: row for row in json.loads(halab("doctor", "-o", "json", code=1).stdout)}
    assert found["engine"]["state"] == "failed"
    assert found["engine"]["remedy"]


def test_the_state_folder_is_private() -> None:
    from lab.base import paths

    assert stat.S_IMODE(paths.state().stat().st_mode) == 0o700


class DoubleEngine:
    """A double of the engine whose build breaks off after two steps."""

    def has_image(self, _: str) -> bool:
        return False

    def build(self, *_: object):
        yield "Step 1/2 : FROM x"
        yield "E: Unable to locate package nonsense"
        raise EngineError("building halab/base: the command returned a non-zero code: 100")


def test_a_broken_build_shows_its_log_and_keeps_it(tmp_path: Path) -> None:
    from lab.base import paths

    sources = Sources(folder=paths.shipped("images"), cache=tmp_path, arch="amd64")
    builder = Builder(DoubleEngine(), sources, Silent())  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="Unable to locate package nonsense") as caught:
        builder.docker_build("base")
    assert "a retry goes on" in caught.value.hint
    assert "nonsense" in (tmp_path / "build-base.log").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v1.36"], "--version is `v1.36`, not a version of Kubernetes"),
        (["v1.20.6+k3s1"], "--version is v1.20.6+k3s1, which is too old"),
        (["v1.35.4", "--distribution", "k3s"], "--version is `v1.35.4`, not a version of K3s"),
    ],
)
def test_images_of_no_version_are_not_built(words: list[str], message: str) -> None:
    assert message in halab("images", "build", "--version", *words, code=2).stderr


def test_the_list_of_add_ons_fits_a_terminal() -> None:
    text = halab("addon", "list").stdout
    assert max(map(len, text.splitlines())) <= 120
    assert "prometheus-server" in text


def test_status_has_a_row_for_the_baseboard_controllers(capsys: pytest.CaptureFixture[str]) -> None:
    from lab.cli import output
    from lab.live.status import LabStatus

    found = LabStatus(
        name="3m3w", distribution="k3s", release="", api="-", vip="-", vip_holders=(),
        etcd_leader="", nodes=(), fencing=True, fenced="reboot", fencings=(), bmc="exited",
        addons=(), faults=(), problems=(),
    )  # fmt: skip
    output.status(found)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["bmc", "bmc", "-", "exited", "-", "-", "-", "-"] in rows


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
