"""Walks the steps of an action or a workflow's job, as GitHub's runner does, in an empty home.

What `run` says is run by bash as there. Of `uses`, the few actions that the recipes name are done
here: a checkout is a clone, the cache is a folder. What would leave this machine is told, not done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from expressions import expanded, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
KEPT = {
    *("LANG", "LC_ALL", "DOCKER_HOST", "GOPROXY", "GOSUMDB", "GOFLAGS", "no_proxy", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
KEPT_BEGINNINGS = ("PIP_", "http_", "https_", "HTTP_", "HTTPS_")
"""Of this machine's environment: how it reaches packages. All else is as in an empty home."""
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
"""What GitHub runs for `shell: bash`."""
UNDONE = ("actions/download-artifact", "pypa/gh-action-pypi-publish")
"""Actions that publish, which a walk may not do, and what belongs to them."""


class StepFailed(Exception):
    """A step that failed, after all that have to run nevertheless."""


@dataclass
class Walker:
    """The runner's machine: an empty home, a workspace, the files by which steps tell results."""

    folder: Path
    """Empty, and the walk's own."""
    cache: Path
    """What actions/cache keeps, by key; kept from walk to walk."""
    source: Path = ROOT
    """The repository that is checked out."""
    programs: tuple[Path, ...] = ()
    """Folders before all others in PATH."""
    say: Callable[[str], None] = lambda text: print(text, flush=True)
    values: dict[str, str] = field(default_factory=dict)
    """What expressions name."""
    walked: list[str] = field(default_factory=list)
    """Names of the steps that were done."""
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Make the machine."""
        for name in ("home", "temp", "files", "shims", "work"):
            (self.folder / name).mkdir()
        self.cache.mkdir(parents=True, exist_ok=True)
        sudo = self.folder / "shims/sudo"
        sudo.write_text('#!/bin/sh\nexec "$@"\n')  # who walks is root, or his engine's user
        sudo.chmod(0o755)
        kept = {key: text for key, text in os.environ.items() if _is_kept(key)}
        places = (self.folder / "shims", *self.programs)
        path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
        self.environment = {
            **kept,
            "CI": "true",
            "HOME": str(self.folder / "home"),
            "PATH": path,
            "RUNNER_ARCH": "X64",
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_WORKSPACE": str(self.workspace),
        }
        self.values |= {"runner.temp": str(self.folder / "temp"), "github.ref": "refs/heads/main"}

    @property
    def workspace(self) -> Path:
        """Where a job's steps run."""
        return self.folder / "work"

    # --- whole recipes ---

    def checkout(self) -> None:
        """Clone the source into the workspace: what is committed, and nothing else."""
        words = ("git", "clone", "--quiet", str(self.source), str(self.workspace))
        subprocess.run(words, check=True, env=self.environment)

    def job(self, workflow: Path, name: str, matrix: dict[str, str]) -> None:
        """Walk a job of a workflow. Raises StepFailed."""
        self.values |= {f"matrix.{key}": text for key, text in matrix.items()}
        self._steps(_read(workflow)["jobs"][name]["steps"])

    def action(self, folder: Path, inputs: dict[str, str]) -> dict[str, str]:
        """Walk a composite action; return its outputs. Raises StepFailed."""
        about = _read(folder / "action.yml")
        declared = {key: str(row.get("default", "")) for key, row in about["inputs"].items()}
        if unknown := inputs.keys() - declared.keys():
            raise StepFailed(f"{folder.name} has no input {', '.join(sorted(unknown))}")
        given = {f"inputs.{key}": text for key, text in {**declared, **inputs}.items()}
        outer, self.values = self.values, {**self.values, **given}
        self.environment["GITHUB_ACTION_PATH"] = str(folder)
        try:
            self._steps(about["runs"]["steps"])
            outputs = about.get("outputs", {}).items()
            return {key: expanded(row["value"], self.values) for key, row in outputs}
        finally:
            self.values = outer
            del self.environment["GITHUB_ACTION_PATH"]

    def script(self, lines: list[str], variables: dict[str, str]) -> None:
        """Run GitLab's lines: one shell has them all, and the first that fails ends it."""
        words = ["bash", "-eo", "pipefail", "-c", "\n".join(lines)]
        environment = {**self.environment, **variables}
        done = subprocess.run(words, cwd=self.workspace, env=environment, check=False)
        if done.returncode:
            raise StepFailed(f"the script ended with {done.returncode}")

    # --- steps ---

    def _steps(self, steps: list[dict[str, Any]]) -> None:
        failures: list[str] = []
        for step in steps:
            name = step.get("name") or step.get("uses") or step["run"].splitlines()[0]
            if not holds(str(step.get("if", "")), self.values, failed=bool(failures)):
                self.say(f"--- not run: {name}")
                continue
            self.say(f"--- {name}")
            try:
                self.step(step)
            except StepFailed as failure:
                failures.append(f"{name}: {failure}")
            else:
                self.walked.append(name)
        if failures:
            raise StepFailed("; ".join(failures))

    def step(self, step: dict[str, Any]) -> None:
        """Do one step. Raises StepFailed."""
        if "run" in step:
            outputs = self._run(step)
        else:
            given = {key: self._text(text) for key, text in step.get("with", {}).items()}
            outputs = self._use(step["uses"], given)
        if "id" in step:
            self.values |= {f"steps.{step['id']}.outputs.{key}": t for key, t in outputs.items()}

    def _text(self, text: Any) -> str:
        return expanded(str(text), self.values)

    def _run(self, step: dict[str, Any]) -> dict[str, str]:
        """Run a step's shell; return its outputs, and keep what it leaves to later steps."""
        files = {key: self.folder / "files" / key for key in ("OUTPUT", "ENV", "PATH")}
        for file in files.values():
            file.write_text("")
        done = subprocess.run(
            [*SHELL, self._text(step["run"])],
            cwd=self.workspace,
            env={
                **self.environment,
                **{f"GITHUB_{key}": str(file) for key, file in files.items()},
                **{key: self._text(text) for key, text in step.get("env", {}).items()},
            },
            check=False,
        )
        self.environment |= dict(_pairs(files["ENV"]))
        for line in files["PATH"].read_text().splitlines():
            self.environment["PATH"] = f"{line}{os.pathsep}{self.environment['PATH']}"
        if done.returncode:
            raise StepFailed(f"ended with {done.returncode}")
        return dict(_pairs(files["OUTPUT"]))

    def _use(self, action: str, given: dict[str, str]) -> dict[str, str]:
        """Do what an action does; return its outputs."""
        name, _, _ = action.partition("@")
        if name.startswith("./"):
            return self.action(self.workspace / name, given)
        if name in UNDONE:
            self.say(f"    not done on this machine: {name}")
            return {}
        done = {
            "actions/checkout": self._checkout,
            "actions/setup-python": self._set_up_python,
            "actions/cache/restore": self._restore,
            "actions/cache/save": self._save,
            "actions/upload-artifact": self._upload,
        }
        if name not in done:
            raise StepFailed(f"nobody here knows what {name} does")
        return done[name](given)

    def _checkout(self, _: dict[str, str]) -> dict[str, str]:
        self.checkout()
        return {}

    def _set_up_python(self, _: dict[str, str]) -> dict[str, str]:
        """Make this machine's Python, of whatever version, one that the job may change."""
        place = self.folder / "temp/python"
        words = ("python3", "-m", "venv", str(place))
        subprocess.run(words, check=True, env=self.environment)
        self.environment["PATH"] = f"{place}/bin{os.pathsep}{self.environment['PATH']}"
        return {}

    def _restore(self, given: dict[str, str]) -> dict[str, str]:
        kept = self.cache / given["key"]
        if not kept.exists():
            return {"cache-hit": ""}
        shutil.copy(kept, given["path"])
        return {"cache-hit": "true"}

    def _save(self, given: dict[str, str]) -> dict[str, str]:
        if not Path(given["path"]).exists():
            raise StepFailed(f"there is no {given['path']} to be kept")
        part = self.cache / f".{given['key']}.part"
        shutil.copy(given["path"], part)
        part.replace(self.cache / given["key"])
        return {}

    def _upload(self, given: dict[str, str]) -> dict[str, str]:
        found = [one for line in given["path"].split() for one in self.workspace.glob(line)]
        if not found and given.get("if-no-files-found") != "ignore":
            raise StepFailed(f"there is no {given['path']} to be uploaded")
        self.say(f"    would be uploaded: {', '.join(one.name for one in found) or 'nothing'}")
        return {}


def _is_kept(key: str) -> bool:
    return key in KEPT or key.startswith(KEPT_BEGINNINGS)


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text().splitlines():
        key, _, text = line.partition("=")
        yield key, text


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))
