"""What commands that people wait for import: each of these libraries costs a tenth of a second."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = ("cryptography", "jinja2", "kubernetes", "matplotlib", "pydantic", "rich", "yaml")
STATUS = "lab.cli.lifecycle, lab.cli.output, lab.kube.api, lab.live.lab, lab.live.status"
HELP_NEEDS_NO = ("docker", "json", "logging", "pathlib", "tempfile", "traceback")
"""Of Python's own, what `--help` would wait for in vain: together a fifth of it."""
START = "lab.lifecycle.start, lab.images.builder"
"""It reads versions.yaml, but most starts build nothing."""
UPSTREAM = "lab.nodes.distributions.upstream, lab.nodes.distributions.k3s"


@pytest.mark.parametrize(
    ("modules", "free_of"),
    [
        ("lab.cli.main", (*SLOW, *HELP_NEEDS_NO)),
        (f"{STATUS}, {UPSTREAM}", SLOW),
        (f"{STATUS}, {UPSTREAM}, {START}", (*(set(SLOW) - {"yaml"}), "filelock")),
    ],
)
def test_quick_commands_import_no_slow_library(modules: str, free_of: tuple[str, ...]) -> None:
    program = f"import sys, {modules}; print(*sorted({set(free_of)} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
