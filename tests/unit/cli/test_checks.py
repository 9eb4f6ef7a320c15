"""`doctor` where no engine answers; the exit codes of `verify`."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from halab_runner import halab

from lab.cli import checks
from lab.images import components
from lab.live import verify


def test_doctor_describes_the_machine_when_no_engine_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(components, "reachable", lambda _: False)
    found = {row["name"]: row for row in json.loads(halab("doctor", "-o", "json", code=1).stdout)}
    assert found["engine"]["state"] == "failed"
    assert found["engine"]["remedy"]


@pytest.mark.parametrize(("ok", "code", "verdict"), [(True, 0, "pass"), (False, 4, "fail")])
def test_verify_ends_with_the_code_of_its_verdict(
    monkeypatch: pytest.MonkeyPatch, *, ok: bool, code: int, verdict: str
) -> None:
    row = verify.CheckResult(
        name="quorum", node="m", command="corosync-quorumtool", ok=ok, detail="3"
    )
    monkeypatch.setattr(checks, "find_lab", lambda _: SimpleNamespace(name="3m3w"))
    monkeypatch.setattr(verify, "verify", lambda *_: (row,))
    done = CliRunner().invoke(checks.verify_command, ["-o", "json"])
    assert done.exit_code == code
    assert json.loads(done.stdout)["verdict"] == verdict
    text = CliRunner().invoke(checks.verify_command).stdout
    assert f"{int(ok)} of 1 checks passed" in text
    assert "corosync-quorumtool" in text
