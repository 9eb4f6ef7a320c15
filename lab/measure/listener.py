"""Listens to an agent while it samples.

Each line becomes an event of the history, its times on the run's clock.
"""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event
from lab.measure.probes import vip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lab.engine.agents import Conversation

BOOT = Path("/proc/sys/kernel/random/boot_id")
LOOK_AGAIN_S = 1.0
"""An address that no machine has is looked up again after so long: a machine that was made anew has
a new one."""
COMPLAINTS = 2000
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def offset(row: dict[str, Any], heard: float, boot: str) -> float:
    """Return what must be added to an agent's times to have this process's. Pure.

    On the same kernel (`boot` tells) both read one clock. On another (Docker Desktop's machine) the
    agent's first line, sent at once, is compared with when it was `heard`: late by the milliseconds
    of its way.
    """
    return 0.0 if boot and row.get("boot") == boot else heard - float(row["t"])


def shifted(row: dict[str, Any], by: float) -> Event:
    """Return an agent's line as an event, its times moved by so many seconds."""
    data = {key: value for key, value in row.items() if key not in {"t", "kind"}}
    if "end" in data:
        data["end"] = round(float(data["end"]) + by, 6)
    return Event(float(row["t"]) + by, str(row["kind"]), data)


def boot_id() -> str:
    """Return this kernel's boot id; empty where the host is no Linux."""
    return BOOT.read_text().strip() if BOOT.exists() else ""


class Listener:
    """A thread that reads a conversation to its end and writes events."""

    def __init__(
        self,
        conversation: Conversation,
        begin: float,
        write: Callable[[Iterable[Event]], None],
        macs: Callable[[], dict[str, str]],
    ) -> None:
        """Begin to listen.

        `begin`: when the run began. `macs` returns the machines' MAC addresses, MAC → node.
        """
        self.offset = 0.0
        self.heard: set[str] = set()
        """Probes, watches and clients that have said something."""
        self.last = 0.0
        """When the last sample was asked, on the agent's clock; 0: none was."""
        self.statistics: dict[str, Any] = {}
        self.error: Exception | None = None
        self._complaints = ""
        self._conversation, self._begin, self._write, self._macs = conversation, begin, write, macs
        self._nodes: dict[str, str] = macs()
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="halab-probes", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the agent still speaks."""
        return self._thread.is_alive()

    @property
    def complaints(self) -> str:
        """What the agent complained about."""
        return self._complaints.strip()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the conversation; after so many seconds hang up."""
        self._thread.join(timeout_s)
        self._conversation.close()

    def _work(self) -> None:
        try:
            for output, lines in self._conversation.lines():
                if output:
                    self._write(list(self._events(lines)))
                else:
                    self._complaints = (
                        self._complaints + b"\n".join(lines).decode(errors="replace") + "\n"
                    )[-COMPLAINTS:]
        except Exception as error:  # noqa: BLE001 (a thread's error must reach the one who waits for it)
            self.error = error

    def _events(self, lines: list[bytes]) -> Iterator[Event]:
        heard = time.monotonic()
        for line in lines:
            row = json.loads(line)
            kind = row["kind"]
            if kind == "clock":
                self.offset = offset(row, heard, boot_id())
            elif kind == "stats":
                self.statistics = row
            else:
                name = row.get("probe") or row.get("client")
                self.heard.add(name)
                if kind == "probe":
                    self.last = max(self.last, float(row["t"]))
                if name == vip.NAME:
                    self._name(row)
                yield shifted(row, self.offset - self._begin)

    def _name(self, row: dict[str, Any]) -> None:
        """Put nodes for their addresses: who answered, and who announced itself."""
        words = str(row.get("detail", "")).split(" ")
        answered = row.get("value") or []
        announced = [word for word in words if MAC.fullmatch(word)]
        nodes = self._by_mac([*answered, *announced])
        if answered:
            row["value"] = vip.named(answered, nodes)
        if announced:
            row["detail"] = " ".join(vip.named(words, nodes))

    def _by_mac(self, macs: list[str]) -> dict[str, str]:
        """Return the machines by address, looked up again where one of these is unknown."""
        now = time.monotonic()
        if any(mac not in self._nodes for mac in macs) and now - self._looked > LOOK_AGAIN_S:
            self._nodes |= self._macs()
            self._looked = now
        return self._nodes
