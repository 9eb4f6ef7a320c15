"""The command line where no engine answers: messages, exit codes, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from halab_runner import halab

from lab import __version__
from lab.cli.main import COMMANDS

TOPOLOGIES = Path(__file__).parents[3] / "topologies"


def test_halab_runs_as_a_module() -> None:
    argv = [sys.executable, "-m", "lab", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == f"halab, version {__version__}\n"


def test_help_lists_every_command_and_each_has_an_example() -> None:
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
def test_commands_end_with_one_message_and_a_remedy_when_no_engine_answers(
    words: tuple[str, ...],
) -> None:
    done = halab(*words, code=1)
    assert "no Docker engine answers" in done.stderr
    assert "start Docker" in done.stderr


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
def test_commands_say_what_is_wrong_and_what_to_do_when_input_is_bad(
    words: tuple[str, ...], expected: str
) -> None:
    code = 1 if "no Docker" in expected else 2
    assert expected in halab(*words, code=code).stderr


def test_a_termination_ends_a_command_as_an_interruption_does() -> None:
    program = (
        "import time\n"
        "from lab.cli import main\n"
        "main.cli.main = lambda **_: (print('runs', flush=True), time.sleep(300))\n"
        "main.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.terminate()
        errors = process.communicate()[1]
    assert (process.returncode, errors) == (130, "halab: interrupted\n")
