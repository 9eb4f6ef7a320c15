"""The recipes for CI services say what the program understands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from expressions import UnknownExpression, expanded, holds
from walker import StepFailed, Walker

from lab.cli.main import cli
from lab.images import image_source

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/start/action.yml"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TEMPLATE = ROOT / ".gitlab/halab.gitlab-ci.yml"
RECIPES = [ACTION, *WORKFLOWS, TEMPLATE]
CALL = re.compile(r"""(?:^|[\s/])halab"? +([^|;&<>\n]+)""", re.MULTILINE)
"""A call of the program, and its words as far as the shell's own signs."""


def scripts(node: Any) -> Iterator[str]:
    """Find all shell in a recipe: `run` of GitHub's, `…script` of GitLab's."""
    if isinstance(node, list):
        for item in node:
            yield from scripts(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "run":
            yield value
        elif key.endswith("script"):
            yield from value
        else:
            yield from scripts(value)


def commands(path: Path) -> Iterator[list[str]]:
    """Find the words after each `halab` that is a command."""
    for script in scripts(yaml.safe_load(path.read_text())):
        plain = re.sub(r"\$\{[^}]*\}", "", script.replace("\\\n", " "))
        for match in CALL.finditer(plain):
            words = shlex.split(match[1])
            if words and not words[0].startswith("/"):
                yield words


def target(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words call, and what it is given."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found, f"halab has no command {rest[0]}"
        command, rest = found, rest[1:]
    return command, rest


ALL = [(path.relative_to(ROOT), words) for path in RECIPES for words in commands(path)]


@pytest.mark.parametrize(("path", "words"), ALL, ids=lambda each: str(each)[:60])
def test_recipe_calls_commands_and_options_that_exist(path: Path, words: list[str]) -> None:
    command, given = target(words)
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    options |= {"--help"}
    if "--" in given:
        given = given[: given.index("--")]
    assert {word for word in given if word.startswith("-")} <= options, path


def test_recipes_start_a_lab() -> None:
    for path in (ACTION, TEMPLATE):
        assert any(words[:1] == ["start"] for words in commands(path)), path


def test_actions_inputs_are_all_used_and_declared() -> None:
    text = ACTION.read_text()
    declared = set(yaml.safe_load(text)["inputs"])
    assert set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", text)) == declared


def test_workflows_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in WORKFLOWS:
        called = re.findall(r"\bmake ([a-z0-9-]+)", path.read_text())
        assert set(called) <= targets, path


def test_workflows_have_no_more_rights_than_reading() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}, path


def test_recipes_are_clean_yaml() -> None:
    words = [sys.executable, "-m", "yamllint", "--strict", ".github", ".gitlab"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- the action's own shell, with programs that only write down how they are called ---

PYTHON = """#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec {python} "$@"; fi
mkdir -p "$3/bin"
for name in pip halab; do cp {programs}/said "$3/bin/$name"; done
"""
SAID = """#!/bin/sh
echo "${{0##*/}} $*" >>{log}
case "${{0##*/}} $1 $2" in
"halab images list") echo '[{{"tag": "halab/b:2"}}, {{"tag": "halab/a:1"}}]' ;;
"halab images save") echo saved >"$3" ;;
"halab start "*)
    [ "$2" != broken.yaml ] && echo '{{"name": "mine", "kubeconfig": "/home/lab.kubeconfig"}}' ;;
"halab snapshot export") echo saved >"$4" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Walker:
    """A machine whose Python makes environments in which pip and halab do nothing."""
    programs, place = tmp_path / "programs", tmp_path / "machine"
    programs.mkdir()
    place.mkdir()
    texts = {"python3": PYTHON, "said": SAID}
    for name, text in texts.items():
        made = text.format(python=sys.executable, programs=programs, log=tmp_path / "log")
        (programs / name).write_text(made)
        (programs / name).chmod(0o755)
    return Walker(place, tmp_path / "cache", programs=(programs,), say=lambda _: None)


def called(machine: Walker) -> list[str]:
    lines = (machine.folder.parent / "log").read_text().splitlines()
    return [line for line in lines if line.startswith("halab ")]


def test_action_builds_images_once_and_loads_them_from_then_on(
    machine: Walker, tmp_path: Path
) -> None:
    more = {"topology": "1m1w", "distribution": "k3s", "set": "a.b=1\nc=x y\n"}
    outputs = machine.action(ACTION.parent, more)
    tar = f"{machine.folder}/temp/halab-images.tar"
    assert called(machine) == [
        "halab doctor --fix --machine",
        "halab images list -o json",
        "halab images build --distribution k3s",
        f"halab images save {tar}",
        "halab start 1m1w --distribution k3s --set a.b=1 --set c=x y -o json",
    ]
    assert outputs == {"kubeconfig": "/home/lab.kubeconfig"}
    assert machine.environment["KUBECONFIG"] == "/home/lab.kubeconfig"
    (tmp_path / "log").unlink()
    (tmp_path / "second").mkdir()
    second = Walker(
        tmp_path / "second", machine.cache, programs=machine.programs, say=lambda _: None
    )
    second.action(ACTION.parent, more)
    assert "Load the images" in second.walked
    assert not {"Build the images", "Keep the images"} & set(second.walked)


def test_action_keeps_a_lab_and_starts_from_it_until_something_differs(
    machine: Walker, tmp_path: Path
) -> None:
    def walked(name: str, **more: str) -> tuple[list[str], Walker]:
        (tmp_path / name).mkdir()
        walker = Walker(
            tmp_path / name, machine.cache, programs=machine.programs, say=lambda _: None
        )
        (tmp_path / "log").write_text("")
        outputs = walker.action(ACTION.parent, {"topology": "1m1w", "snapshot": "true", **more})
        assert outputs == {"kubeconfig": "/home/lab.kubeconfig"}
        told = (line.replace(f"{walker.folder}/temp/", "") for line in called(machine))
        return [line for line in told if line.split()[1] in {"start", "snapshot"}], walker

    made = [
        "halab start 1m1w -o json",
        "halab snapshot save mine kept",
        "halab snapshot export kept halab-lab.tar",
    ]
    again = ["halab snapshot import halab-lab.tar", "halab start --from kept -o json"]
    assert walked("first")[0] == made
    lines, second = walked("second")
    assert lines == again
    assert not {"Save the lab", "Keep the lab"} & set(second.walked)
    assert walked("other", set="a.b=1")[0][0] == "halab start 1m1w --set a.b=1 -o json"


def test_action_pulls_what_a_list_names(machine: Walker) -> None:
    machine.action(ACTION.parent, {"source": "halab-images.yaml"})
    assert "halab images build --source halab-images.yaml" in called(machine)


DOCKER = """#!/bin/sh
case "$1" in
login) cat >{folder}/token ;;
push) echo "$3" >>{folder}/pushed ;;
inspect) printf 'other@sha256:%064d\\nregistry.example/labs@sha256:%064d\\n' 1 2 ;;
esac
"""
BUILT = """#!/bin/sh
echo '[{"image": "upstream", "tag": "halab/upstream:a1", "here": true},
 {"image": "k3s", "tag": "halab/k3s:b2", "here": false},
 {"image": "base", "tag": "halab/base:c3", "here": true},
 {"image": "bmc", "tag": "halab/bmc:d4", "here": true}]'
"""


@pytest.mark.skipif(shutil.which("jq") is None, reason="GitHub's runners have jq")
def test_release_lists_the_digests_of_what_it_pushes(machine: Walker, tmp_path: Path) -> None:
    programs = {"docker": DOCKER.replace("{folder}", str(tmp_path)), "halab": BUILT}
    for name, text in programs.items():
        (machine.programs[0] / name).write_text(text)
        (machine.programs[0] / name).chmod(0o755)
    names = {"vars.IMAGES": "registry.example/labs", "github.actor": "me", "github.ref_name": "v1"}
    machine.values |= {**names, "github.repository": "me/halab", "secrets.GITHUB_TOKEN": "secret"}
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    push, write = workflow["images"]["steps"][-2], workflow["list"]["steps"][-1]
    machine.step(push)
    assert (tmp_path / "token").read_text() == "secret\n"
    pushed = (tmp_path / "pushed").read_text().split()
    assert pushed == ["registry.example/labs:upstream-a1", "registry.example/labs:bmc-d4"]
    (machine.programs[0] / "gh").symlink_to("/bin/true")
    machine.step(write)
    source = image_source.read(machine.workspace / "halab-images.yaml")
    assert source.repository == "registry.example/labs"
    assert source.digests == dict.fromkeys(("upstream:a1", "bmc:d4"), f"sha256:{2:064}")


def test_action_fails_if_the_lab_does_not_start(machine: Walker) -> None:
    with pytest.raises(StepFailed, match="Start the lab"):
        machine.action(ACTION.parent, {"topology": "broken.yaml"})
    assert "KUBECONFIG" not in machine.environment


def test_walker_runs_in_an_empty_home(machine: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALAB_SEED", "mine")
    assert not list(Path(machine.environment["HOME"]).iterdir())
    made = Walker(Path(machine.cache), machine.cache)
    assert "HALAB_SEED" not in made.environment
    assert made.environment["PATH"].endswith(os.environ["PATH"])


def test_job_runs_what_always_runs_and_fails_all_the_same(machine: Walker, tmp_path: Path) -> None:
    steps = [
        {"run": "exit 3"},
        {"name": "never", "run": "true"},
        {"name": "hint", "if": "failure()", "run": "echo ${{ matrix.one }} >said"},
        {"name": "kept", "if": "always()", "uses": "actions/upload-artifact@v4"},
    ]
    steps[-1]["with"] = {"path": "said"}
    file = tmp_path / "workflow.yml"
    file.write_text(yaml.safe_dump({"jobs": {"a": {"steps": steps}}}))
    with pytest.raises(StepFailed, match="exit 3: ended with 3"):
        machine.job(file, "a", {"one": "1"})
    assert machine.walked == ["hint", "kept"]
    assert (machine.workspace / "said").read_text() == "1\n"


def test_expressions() -> None:
    values = {"steps.a.outputs.hit": "true", "inputs.x": "y"}
    assert expanded("${{ inputs.x }}-${{steps.b.outputs.c}}", values) == "y-"
    assert holds("steps.a.outputs.hit == 'true'", values, failed=False)
    assert not holds("${{ steps.a.outputs.hit != 'true' }}", values, failed=False)
    assert not holds("steps.a.outputs.hit == 'true'", values, failed=True)
    for text in ("hashFiles('x')", "inputs.z"):
        with pytest.raises(UnknownExpression):
            expanded(f"${{{{ {text} }}}}", values)
