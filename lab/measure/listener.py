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
"""How often an unknown MAC address is looked up at most: a recreated machine has a new one."""
COMPLAINTS = 2000
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def offset(row: dict[str, Any], heard: float, boot: str) -> float:
    """Return what must be added to an agent's times to get this process's. Pure.

    On the same kernel (by `boot`) both read one clock. On another one (Docker Desktop's machine)
    the time of the agent's first line, sent at once, is compared with the time when it was `heard`:
    the result is wrong by the milliseconds that the line took.
    """
    return 0.0 if boot and row.get("boot") == boot else heard - float(row["t"])


def shifted(row: dict[str, Any], by: float) -> Event:
    """Return an agent's line as an event, its times shifted by so many seconds."""
    data = {key: value for key, value in row.items() if key not in {"t", "kind"}}
    if "end" in data:
        data["end"] = round(float(data["end"]) + by, 6)
    return Event(float(row["t"]) + by, str(row["kind"]), data)


def boot_id() -> str:
    """Return this kernel's boot id; empty if the host is no Linux."""
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
        self.epoch: float | None = None
        """The machines' time of day when their monotonic clock began, seconds since 1970."""
        self.heard: set[str] = set()
        """Probes, watches and clients that have sent a line."""
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
        """Whether the conversation with the agent goes on."""
        return self._thread.is_alive()

    @property
    def complaints(self) -> str:
        """What the agent wrote to its standard error."""
        return self._complaints.strip()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the conversation; close it after so many seconds."""
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
        except Exception as error:  # noqa: BLE001 (a thread's error must reach who waits for it)
            self.error = error

    def _events(self, lines: list[bytes]) -> Iterator[Event]:
        heard = time.monotonic()
        for line in lines:
            row = json.loads(line)
            kind = row["kind"]
            if kind == "clock":
                self.offset = offset(row, heard, boot_id())
                self.epoch = float(row["wall"]) - float(row["t"]) if "wall" in row else None
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
        """Replace MAC addresses by nodes, of those that answered and that announced themselves."""
        details = str(row.get("detail", "")).split(" ")
        answered = row.get("value") or []
        announced = [text for text in details if MAC.fullmatch(text)]
        nodes = self._by_mac([*answered, *announced])
        if answered:
            row["value"] = vip.named(answered, nodes)
        if announced:
            row["detail"] = " ".join(vip.named(details, nodes))

    def _by_mac(self, macs: list[str]) -> dict[str, str]:
        """Return the machines by MAC address; look again if one of these is unknown."""
        now = time.monotonic()
        if any(mac not in self._nodes for mac in macs) and now - self._looked > LOOK_AGAIN_S:
            self._nodes |= self._macs()
            self._looked = now
        return self._nodes
