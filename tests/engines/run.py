"""Run halab's tests on engines of other versions, on this machine.

Docker 26 and 28, each with both image stores.

    make test-engines         the docker tests and a part of the e2e tests on all of them
    make test-engines ENGINES=28-containerd
                              on one, or on some by spaces:
                              26-overlay2 26-containerd 28-overlay2 28-containerd
    make test-engine-smoke    the smallest part (test_smoke.py) on 28-containerd;
                              `make test` does it

Needs Linux, root, debootstrap, and Debian's packages the first time; elsewhere it is skipped and
says why. An engine's Debian is made once and kept in ~/.cache/halab/engines, which may be removed
at any time; all else is gone after a run. Images come from the host's engine. Each engine has a
network of its own, with nothing but `lo` and its labs: tests run in it, on the host's own files.

On two cores: an engine's Debian 80 to 110 s, once; an engine 2 s; the images out of the host's
engine and into another one a minute on a busy machine.

Python, not bash: what a run leaves must be swept also after ^C and kill -9, and the images and
add-ons are halab's to name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foreign import KINDS, SMALLEST, Foreign, Kind, cache, can

from lab.addons.pod_images import PodImages
from lab.base.errors import LabError
from lab.cli.images import _builder

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
MACHINES = ("base", "node", "upstream", "loadbalancer", "bmc")
PODS = ("local-path-provisioner",)
"""The images of the add-on that test_smoke.py enables."""
SMOKE = (str(TESTS / "engines"),)
WHOLE = (
    str(TESTS / "engines"),
    str(TESTS / "docker"),
    *(str(TESTS / "e2e" / f"test_{name}.py") for name in ("lab", "life", "fencing")),
    # Asks little of an engine, and builds with the Internet's modules.
    f"--ignore={TESTS / 'docker' / 'test_k3s_double.py'}",
)


class Progress:
    """A Reporter that prints what is made."""

    def say(self, subject: str, text: str) -> None:
        """Print it."""
        print(f"  {subject}: {text}", flush=True)

    def done(self, subject: str, text: str) -> None:
        """Drop it."""


@contextmanager
def saved() -> Iterator[Path]:
    """Make what is missing of the images, on the host's engine.

    Returns a file with all of them.
    """
    builder = _builder(Progress())
    builder.build("upstream")
    PodImages(builder).make(PODS)
    tags = [builder.tags[word] for word in (*MACHINES, *(f"pods/{word}" for word in PODS))]
    with tempfile.TemporaryFile(
        dir=cache()
    ) as file:  # has no name: after a kill -9 it is gone, too
        subprocess.run(["docker", "save", *tags], stdout=file, check=True)
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def one(kind: Kind, images: Path, tests: tuple[str, ...]) -> tuple[str, int]:
    """Run tests on one engine; returns its version and pytest's exit code."""
    with Foreign(kind) as foreign:
        version = foreign.version()
        print(f"=== Docker {version}, {kind.name}", flush=True)
        if code := foreign.run([str(BIN / "halab"), "images", "load", str(images)]):
            return version, code
        return version, foreign.run([sys.executable, "-m", "pytest", "-q", *tests])


def main(words: list[str]) -> int:
    """Run everything and print a table.

    The exit code is 0 where all passed, or nothing could run.
    """
    smoke = "--smoke" in words
    names = [word for word in words if word != "--smoke"] or ([SMALLEST] if smoke else list(KINDS))
    if unknown := [name for name in names if name not in KINDS]:
        print(f"no engine {', '.join(unknown)}; there are: {', '.join(KINDS)}", file=sys.stderr)
        return 2
    if reason := can():
        print(f"other engines: skipped ({reason})")
        return 0
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # as ^C: engines are ended and swept
    rows, failed = [], False
    try:
        with saved() as images:
            for name in names:
                begin = time.monotonic()
                version, code = one(KINDS[name], images, SMOKE if smoke else WHOLE)
                failed = failed or code != 0
                result = "passed" if code == 0 else f"FAILED ({code})"
                seconds = time.monotonic() - begin
                rows.append(f"{name:16}{version:20}{result:14}{seconds:6.0f} s")
    except subprocess.CalledProcessError as error:
        print(
            f"`{' '.join(error.cmd)}` ended with {error.returncode}: see the logs in {cache()}",
            file=sys.stderr,
        )
        return 1
    except (LabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n".join(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
