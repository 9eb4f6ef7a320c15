"""The recipes for CI services say what the program understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from lab.cli.main import cli

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
