"""A profile: what was measured comes back as rows and as a trace; without one nothing happens."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lab.base.profile import STEPS, Profile, ProfileSpan, measured
from lab.base.progress import Silent


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)

    def say(self, subject: str, text: str) -> None:
        self.lines.append(f"{subject} {text}")

    def done(self, subject: str, text: str) -> None:
        self.lines.append(f"{subject} done {text}")


def profiled() -> tuple[Profile, Clock]:
    clock = Clock()
    return Profile(clock=clock, wall=lambda: 5000.0), clock


def test_steps_and_what_machines_say_become_spans() -> None:
    profile, clock = profiled()
    heard = Heard()
    reporter = profile.hearing(heard)
    clock.now += 1
    with pytest.raises(ZeroDivisionError), measured(profile, "boot"):
        reporter.say("m", "booting")
        clock.now += 2
        reporter.say("m", "waits for the network")
        clock.now += 3
        reporter.done("m", "Ready")
        raise ZeroDivisionError
    assert profile.spans() == (
        ProfileSpan(1, STEPS, "boot", 5),
        ProfileSpan(1, "m", "booting", 2),
        ProfileSpan(3, "m", "waits for the network", 3),
        ProfileSpan(6, "m", "ready: Ready", 0),
    )
    assert heard.lines == ["m booting", "m waits for the network", "m done Ready"]


def test_what_was_not_finished_is_in_it_up_to_the_end() -> None:
    profile, clock = profiled()
    profile.hearing(Silent()).say("API", "waits for etcd")
    clock.now += 7
    profile.finish()
    clock.now += 1
    profile.finish()
    assert profile.spans() == (ProfileSpan(0, "API", "waits for etcd", 7),)


def test_a_trace_has_complete_events_on_named_threads() -> None:
    profile, _ = profiled()
    profile.add("m", "booting", 1.5, 0.25)
    profile.add_wall("m", "etcd", 5002.0, 5003.5)
    profile.add(STEPS, "compare", 0, 1)
    events = profile.trace("halab start x")["traceEvents"]
    names = {row["tid"]: row["args"]["name"] for row in events if row["ph"] == "M"}
    assert names == {0: "halab start x", 1: STEPS, 2: "m"}
    complete = [row for row in events if row["ph"] == "X"]
    assert [(row["tid"], row["name"], row["ts"], row["dur"]) for row in complete] == [
        (1, "compare", 0, 1_000_000),
        (2, "booting", 1_500_000, 250_000),
        (2, "etcd", 2_000_000, 1_500_000),
    ]


def test_without_a_profile_nothing_is_measured() -> None:
    with measured(None, "boot"):
        Silent().say("m", "booting")
