from __future__ import annotations

import os

import pytest

from lab.host import fixes
from lab.host.findings import Finding


@pytest.mark.skipif(os.geteuid() != 0, reason="fixing limits needs root")
def test_fix_does_what_was_found_and_nothing_else() -> None:
    commands: list[list[str]] = []
    lines: list[str] = []
    findings = [
        Finding("fs.inotify.max_user_instances", "warning", "128", "x", fixable=True),
        Finding("disk", "warning", "x"),
    ]
    fixes.fix(findings, lines.append, commands.append)
    assert commands == [["sysctl", "-q", "-w", "fs.inotify.max_user_instances=512"]]
    assert lines == ["setting fs.inotify.max_user_instances to 512"]
