"""Walks the recipes for CI on this machine, each in an empty home: `make test-recipes`.

    run.py                      lint, action (twice: without and with its cache), release
    run.py gitlab               the template's lines; as root, for it starts an engine if none runs
    run.py checks               what a push runs
    run.py e2e upstream         the e2e workflow with that distribution: start, tests, results

`action` and `gitlab` start a lab of their own (`recipe-walk`, 1m1w) and remove it; `e2e` starts
3m3w, and refuses if there is one. They use this machine's engine, and images that are here already.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from expressions import UnknownExpression
from walker import ROOT, StepFailed, Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAB = "recipe-walk"
SNAPSHOT = "kept"
"""The action's, of a lab that it keeps; the engine is the same for all machines of a walk."""
RECIPES = (".github", ".gitlab")
WORKFLOWS = ROOT / ".github/workflows"
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"
"""A Go module: built once, in Go's cache."""


@contextlib.contextmanager
def machine() -> Iterator[Walker]:
    """Lend an empty machine with a checkout. Its cache is new, too."""
    with tempfile.TemporaryDirectory(prefix="halab-recipe-") as folder:
        yield Walker(Path(folder), Path(folder) / "cache")


def lint() -> None:
    """Hold the recipes against yamllint and actionlint (where there is Go)."""
    subprocess.run([sys.executable, "-m", "yamllint", "--strict", *RECIPES], cwd=ROOT, check=True)
    if shutil.which("go") is None:
        print("actionlint: skipped, it needs Go")
        return
    workflows = [str(path) for path in sorted(WORKFLOWS.glob("*.yml"))]
    subprocess.run(["go", "run", ACTIONLINT, *workflows], cwd=ROOT, check=True)


def own_topology(walker: Walker) -> str:
    """Write the smallest lab under a name that nobody else has; return the file's name."""
    text = (ROOT / "topologies/1m1w.yaml").read_text()
    name = f"{LAB}.yaml"
    (walker.workspace / name).write_text(re.sub(r"(?m)^name: .*", f"name: {LAB}", text))
    return name


@contextlib.contextmanager
def lab_of(walker: Walker, name: str) -> Iterator[None]:
    """Remove a lab after the block. Raises StepFailed if there is one before."""
    words = ("docker", "ps", "--all", "--quiet", "--filter", f"label=halab.lab={name}")
    there = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    if there:
        raise StepFailed(f"there is a lab {name} already: remove it first")
    try:
        yield
    finally:
        if shutil.which("halab", path=walker.environment["PATH"]):
            halab(walker, "destroy", name, check=False)


@contextlib.contextmanager
def no_snapshot_left(walker: Walker) -> Iterator[None]:
    """Remove the snapshot that the action saves, after the block."""
    try:
        yield
    finally:
        if shutil.which("halab", path=walker.environment["PATH"]):
            halab(walker, "snapshot", "remove", SNAPSHOT, check=False)


def halab(walker: Walker, *words: str, check: bool = True) -> None:
    """Run the halab that the recipe has installed."""
    program = shutil.which("halab", path=walker.environment["PATH"]) or "halab"
    done = subprocess.run([program, *words], env=walker.environment, check=False)
    if check and done.returncode:
        raise StepFailed(f"`halab {' '.join(words)}` ended with {done.returncode}")


def action(distribution: str = "") -> None:
    """Walk the action on two machines with one cache: the second loads what the first kept."""
    with machine() as first:
        _act(first, distribution)
        if not {"Build the images", "Save the lab"} <= set(first.walked):
            raise StepFailed("the first machine found images or a lab in an empty cache")
        with tempfile.TemporaryDirectory(prefix="halab-recipe-") as folder:
            second = Walker(Path(folder), first.cache)
            _act(second, distribution)
            if "Load the images" not in second.walked or "Save the lab" in second.walked:
                raise StepFailed("the second machine did not load what the first kept")


def _act(walker: Walker, distribution: str) -> None:
    walker.checkout()
    given = {"topology": own_topology(walker), "distribution": distribution, "snapshot": "true"}
    with no_snapshot_left(walker), lab_of(walker, LAB):
        outputs = walker.action(
            walker.workspace / ".github/actions/start", {**given, "set": "network.subnet=auto"}
        )
        if walker.environment.get("KUBECONFIG") != outputs["kubeconfig"]:
            raise StepFailed("KUBECONFIG is not what the action says")
        halab(walker, "kubectl", LAB, "--", "get", "nodes")


def gitlab() -> None:
    """Walk the template's lines, with places of this walk instead of a container's own."""
    recipe = yaml.safe_load((ROOT / ".gitlab/halab.gitlab-ci.yml").read_text())[".halab"]
    with machine() as walker:
        walker.checkout()
        programs = walker.folder / "temp"
        places = {"/opt/halab": f"{programs}/venv", "/usr/local/bin/": f"{walker.folder}/shims/"}
        lines = recipe["before_script"]
        for there, here in places.items():
            lines = [line.replace(there, here) for line in lines]
        variables = {
            **recipe["variables"],
            "HALAB_SOURCE": str(walker.workspace),
            "HALAB_TOPOLOGY": own_topology(walker),
        }
        with lab_of(walker, LAB):
            walker.script(lines, variables)
            halab(walker, "kubectl", LAB, "--", "get", "nodes")


def workflow(name: str, job: str, **matrix: str) -> None:
    """Walk a job of a workflow."""
    with machine() as walker:
        walker.job(WORKFLOWS / f"{name}.yml", job, matrix)


def e2e(distribution: str = "upstream") -> None:
    """Walk the e2e workflow: the action, the tests on its lab, their results."""
    with machine() as walker, lab_of(walker, "3m3w"):
        walker.job(WORKFLOWS / "e2e.yml", "e2e", {"distribution": distribution, "runner": "here"})


WALKS: dict[str, Callable[..., None]] = {
    "lint": lint,
    "action": action,
    "release": lambda: workflow("release", "wheel"),
    "gitlab": gitlab,
    "checks": lambda: workflow("checks", "checks", python="3"),
    "e2e": e2e,
}
USUAL = ("lint", "action", "release")


def main(words: list[str]) -> int:
    """Walk what is named, each with the words after it; return the exit code."""
    names, given = (words[:1], words[1:]) if words else (list(USUAL), [])
    if unknown := [name for name in names if name not in WALKS]:
        print(f"no recipe {unknown[0]}: {', '.join(WALKS)}", file=sys.stderr)
        return os.EX_USAGE
    for name in names:
        print(f"=== {name}", flush=True)
        try:
            WALKS[name](*given)
        except (StepFailed, UnknownExpression, subprocess.CalledProcessError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
