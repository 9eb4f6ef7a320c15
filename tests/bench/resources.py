"""What a lab's containers use of the host, as the engine counts it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker

NANOSECONDS = 1e9


@dataclass(frozen=True)
class Usage:
    """Memory without what the kernel could drop at once, and processors."""

    gib: float
    cores: float


def memory(stats: dict[str, Any]) -> float:
    """Return the bytes in use, as `docker stats` counts: without inactive files' pages.

    cgroup v1 calls them total_inactive_file, v2 inactive_file.
    """
    own = stats["memory_stats"]
    more = own.get("stats", {})
    inactive = more.get("total_inactive_file", more.get("inactive_file", 0))
    return float(own.get("usage", 0) - inactive)


def used(label: str, seconds: float = 30) -> Usage:
    """Return what all running containers with a label use: the processors over some time."""
    client = docker.from_env()
    found = client.containers.list(filters={"label": label})

    def look() -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(found) or 1) as pool:
            return list(pool.map(lambda one: one.stats(stream=False), found))

    before = look()
    time.sleep(seconds)
    after = look()
    shares = [cores(old, new) for old, new in zip(before, after, strict=True)]
    return Usage(sum(map(memory, after)) / 2**30, sum(shares))


def spent(label: str) -> float:
    """Return the core-seconds that all running containers with a label have used so far.

    Unlike seconds, they hardly depend on what else the host does.
    """
    client = docker.from_env()
    found = client.containers.list(filters={"label": label})
    with ThreadPoolExecutor(len(found) or 1) as pool:
        looks = list(pool.map(lambda one: one.stats(stream=False), found))
    return sum(map(_nanoseconds, looks)) / NANOSECONDS


def cores(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return how many processors a container used between two looks."""
    spent = _nanoseconds(after) - _nanoseconds(before)
    return spent / NANOSECONDS / (_read(after) - _read(before)).total_seconds()


def _nanoseconds(stats: dict[str, Any]) -> int:
    return int(stats["cpu_stats"]["cpu_usage"]["total_usage"])


def _read(stats: dict[str, Any]) -> datetime:
    """Return when the engine read the figures: 2026-01-02T03:04:05.678901234Z, microseconds do."""
    whole, _, part = stats["read"].rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{part[:6]:0<6}")
