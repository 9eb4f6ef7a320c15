"""Commands in pods: where they run, their samples, and the keys that they write and read back."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lab.base.errors import EngineError, InputError, LabError
from lab.engine.commands import Result
from lab.measure import pod_asker, pod_command
from lab.measure.pod_asker import PodAsker
from lab.measure.pod_command import PodRuntime, parse
from lab.measure.probe import ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.analysis.history.events import Event

WRITE = parse('kubectl://shop/db-0 -- sh -c "echo {key} >> /data/keys"')
READ = parse("kubectl://shop/db-0 -- cat /data/keys")
READ_ONE = parse("kubectl://shop/db-0 -- grep {key} /data/keys")


class Node:
    """A double of a node: it runs a pod's container, or does not, or is off."""

    def __init__(self, container: str = "", *, off: bool = False) -> None:
        self.container, self.off = container, off
        self.asked: list[list[str]] = []
        self.answer: Result | None = None

    def run(self, argv: Sequence[str], *, timeout_s: float, check: bool) -> Result:
        if self.off:
            raise EngineError("the container does not run")
        self.asked.append(list(argv))
        if argv[0] == "sh":
            return Result(0 if self.container else 1, f"{self.container}\n")
        if self.answer:
            return self.answer
        good = self.container in argv
        return Result(0 if good else 1, "ctr: no task")


def test_a_command_is_read_as_a_shell_would() -> None:
    command = parse('kubectl://shop/db-0/postgres -- psql -c "select 1"')
    assert command.argv == ("psql", "-c", "select 1")
    assert command.filter() == (
        'labels."io.cri-containerd.kind"==container,'
        'labels."io.kubernetes.pod.namespace"==shop,'
        'labels."io.kubernetes.pod.name"==db-0,'
        'labels."io.kubernetes.container.name"==postgres'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kubectl://shop -- true", "not kubectl://NAMESPACE/POD"),
        ('kubectl://shop/a" -- true', "not kubectl://NAMESPACE/POD"),
        ("kubectl://shop/a,b -- true", "not kubectl://NAMESPACE/POD"),
        ("kubectl://shop/a", "no command"),
        ("kubectl://shop/a --", "not kubectl://NAMESPACE/POD"),
        ("kubectl://shop/a -- echo 'x", "No closing quotation"),
    ],
)
def test_what_is_no_command_is_told(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(text)


def test_the_pod_is_looked_for_on_the_nodes_and_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_command, "SEARCH_S", 0.0)
    off, other, home = Node(off=True), Node(), Node("c1")
    runtime = PodRuntime(cast("Any", [off, other, home]))
    for _ in range(2):
        assert runtime.run(READ, READ.argv, 2).code == 0
    assert [argv[0] for argv in home.asked] == ["sh", "ctr", "ctr"]
    assert home.asked[1][:5] == ["ctr", "-n", "k8s.io", "tasks", "exec"]
    assert home.asked[1][-3:] == ["c1", "cat", "/data/keys"]
    assert home.asked[1][6] != home.asked[2][6]  # an id of its own each time
    other.container, home.container = "c2", ""
    assert runtime.run(READ, READ.argv, 2).code == 1
    assert runtime.run(READ, READ.argv, 2).code == 0
    other.off = True
    with pytest.raises(EngineError):
        runtime.run(READ, READ.argv, 2)
    with pytest.raises(LabError, match=pod_command.NOT_THERE):
        runtime.run(READ, READ.argv, 2)


def test_commands_that_fail_do_not_search_all_nodes_each_time() -> None:
    home = Node("c1")
    runtime = PodRuntime(cast("Any", [Node(), home]))
    assert runtime.run(READ, READ.argv, 2).code == 0
    home.container = "c2"  # restarted: the old container is gone
    codes = [runtime.run(READ, READ.argv, 2).code for _ in range(5)]
    assert codes == [1] * 5
    assert [argv[0] for argv in home.asked].count("sh") == 1
    runtime._search_at = 0.0  # two seconds later
    assert runtime.run(READ, READ.argv, 2).code == 0


@pytest.mark.parametrize(
    ("result", "searches"),
    [
        (Result(1, "no such table"), 1),  # the command's own failure: the pod is there
        (Result(124, ""), 3),  # late, and late again: perhaps its node is frozen
        (Result(1, 'ctr: container "c1" in namespace "k8s.io": not found'), 7),
    ],
)
def test_the_pod_is_looked_for_again_only_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, result: Result, searches: int
) -> None:
    monkeypatch.setattr(pod_command, "SEARCH_S", 0.0)
    home = Node("c1")
    home.answer = result
    runtime = PodRuntime(cast("Any", [Node(), home]))
    for _ in range(7):
        assert runtime.run(READ, READ.argv, 2) == result
    assert [argv[0] for argv in home.asked].count("sh") == searches


def test_a_pod_that_runs_nowhere_is_refused_before_the_run() -> None:
    runtime = PodRuntime(cast("Any", [Node(), Node(off=True)]))
    made = asker(Runtime(), [])
    made.runtime = runtime
    with pytest.raises(InputError, match="shop/db-0: the pod runs on no node"):
        made.require_pod()


class Runtime:
    """A double of the nodes' runtimes: it keeps keys in memory."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.answer: Callable[[], Result] | None = None

    def run(self, _: object, argv: Sequence[str], __: float) -> Result:
        if self.answer:
            return self.answer()
        if argv[0] == "sh":
            self.kept.append(argv[2].split()[1])
            return Result(0, "")
        return Result(0, "\n".join(key for key in self.kept if argv[0] == "cat" or key == argv[1]))


def asker(runtime: Runtime, written: list[Event], **more: Any) -> PodAsker:
    settings = {"kind": "command", "command": WRITE, "prefix": "k-", **more}
    row = ProbeSpec(name="orders", settings=settings, interval=0.1, timeout=60.0, client=bool(more))
    return PodAsker(row, cast("PodRuntime", runtime), time.monotonic(), written.extend)


def run_until(made: PodAsker, ready: Callable[[], bool]) -> None:
    made.start()
    for _ in range(6000):
        if ready():
            break
        time.sleep(0.01)
    else:
        pytest.fail("what is waited for did not come within a minute")
    made.stop()


@pytest.mark.parametrize("read", [READ, READ_ONE])
def test_acknowledged_keys_are_read_back_and_a_lost_one_is_seen(read: Any) -> None:
    written: list[Event] = []
    runtime = Runtime()
    made = asker(runtime, written, read=read)
    run_until(made, lambda: len(made.acked) >= 3)
    lost = runtime.kept.pop(1)
    made.read_back()
    creates = [event for event in written if event.get("op") == "create"]
    assert {event.get("client") for event in creates} == {"orders"}
    assert all(event.get("outcome") == "ok" for event in creates)
    samples = [event for event in written if event.kind == "probe"]
    assert len(samples) >= len(creates)
    reads = [event for event in written if event.get("op") in {"read", "list"}]
    there: set[str] = set()
    for event in reads:
        value = event.get("value") or []
        there |= set(value) if isinstance(value, list) else {value}
    assert there == set(made.acked) - {lost}


def test_failures_have_words() -> None:
    written: list[Event] = []
    runtime = Runtime()
    results = iter([Result(1, "x\npsql: no route\n"), Result(124, "")])
    runtime.answer = lambda: next(results, Result(0, ""))
    made = asker(runtime, written)
    run_until(made, lambda: any(event.get("ok") for event in written))
    details = [event.get("detail") for event in written if event.get("ok") is False]
    assert sorted(details) == ["exit code 1: psql: no route", "timeout"]


def test_a_write_that_never_began_has_failed_and_another_is_open() -> None:
    written: list[Event] = []
    runtime = Runtime()

    def has_written() -> bool:  # on a busy machine, samples that were not taken come before
        return any(event.kind == "user_op" for event in written)

    def nowhere() -> Result:
        raise LabError(pod_command.NOT_THERE)

    runtime.answer = nowhere
    made = asker(runtime, written, read=READ)
    run_until(made, has_written)
    assert {e.get("outcome") for e in written if e.kind == "user_op"} == {"fail"}
    runtime.answer = lambda: Result(1, "")
    written.clear()
    made = asker(runtime, written, read=READ)
    run_until(made, has_written)
    assert {e.get("outcome") for e in written if e.kind == "user_op"} == {"unknown"}
    assert not made.acked


def test_what_cannot_be_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Event] = []
    runtime = Runtime()
    runtime.answer = lambda: Result(1, "")
    monkeypatch.setattr(pod_asker, "READ_S", 0.0)
    made = asker(runtime, written, read=READ)
    made.acked.append("k-000000")
    made.read_back()
    (last,) = written
    assert (last.get("op"), last.get("outcome")) == ("list", "unknown")


def test_reading_back_ends_in_time_with_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Event] = []
    runtime = Runtime()
    asked: list[int] = []

    def slow() -> Result:
        asked.append(1)
        if len(asked) == 3:
            monkeypatch.setattr(pod_asker, "time", SimpleNamespace(monotonic=lambda: 1e9))
        return Result(0, "")

    runtime.answer = slow
    made = asker(runtime, written, read=READ_ONE)
    made.acked += [f"k-{number:06d}" for number in range(50)]
    made.read_back()
    assert len(asked) == 3
    outcomes = [event.get("outcome") for event in written]
    assert outcomes == ["ok"] * 3 + ["unknown"] * 47


def test_a_late_answer_is_none_and_keeps_no_other_from_being_asked() -> None:
    written: list[Event] = []
    runtime = Runtime()
    release = threading.Event()
    runtime.answer = lambda: Result(0 if release.wait(60) else 1, "")
    made = asker(runtime, written)
    object.__setattr__(made.row, "timeout", 0.05)
    run_until(made, lambda: sum(e.get("detail") == "timeout" for e in written) >= 3)
    release.set()
    late = [event for event in written if event.get("detail") == "timeout"]
    assert {round(event.end - event.t, 3) for event in late} == {0.05}
    assert made.heard
