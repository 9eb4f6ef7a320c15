"""Asks one DNS server many questions a second, as a busy node does. Runs on a node, by its Python.

    python3 dns_flood.py SERVER NAME QUESTIONS_A_SECOND STOP_FILE

It asks until STOP_FILE is there, and prints {"asked": …, "late": …, "lost": …}: each question is
asked again after five seconds, as resolv.conf(5)'s defaults do; late ones were answered then only,
lost ones not at all.
"""

from __future__ import annotations

import contextlib
import json
import random
import selectors
import socket
import struct
import sys
import time
from pathlib import Path

PATIENCE_S = 5.0
ATTEMPTS = 2
LONGEST_S = 300.0
"""Nobody floods for longer, should the test that started it be dead."""
MOST_AT_ONCE = 50
"""Who was kept waiting by a busy host catches up step by step."""
SOCKETS = 16
"""Several source ports: each is a connection of its own to kube-proxy."""


def question(number: int, name: str) -> bytes:
    """An A question in the wire form of RFC 1035, section 4."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


class Flood:
    """The questions that wait for an answer, and what came of the others."""

    def __init__(self, server: str, name: str) -> None:
        self.name = name
        self.figures = {"asked": 0, "late": 0, "lost": 0}
        self.waiting: dict[int, tuple[float, int]] = {}
        """Number of a question → when it was asked last, and how often."""
        self.selector = selectors.DefaultSelector()
        self.sockets = [self.opened(server) for _ in range(SOCKETS)]

    def opened(self, server: str) -> socket.socket:
        new = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        new.settimeout(0)
        new.connect((server, 53))
        self.selector.register(new, selectors.EVENT_READ)
        return new

    def ask(self, number: int, attempt: int) -> None:
        self.waiting[number] = (time.monotonic(), attempt)
        with contextlib.suppress(OSError):  # refused: it is asked again, as if it were lost
            random.choice(self.sockets).send(question(number, self.name))

    def ask_new(self, count: int) -> None:
        for _ in range(count):
            self.figures["asked"] += 1
            self.ask(self.figures["asked"] % 65536, 1)

    def take_answers(self, patience: float) -> None:
        for key, _ in self.selector.select(patience):
            with contextlib.suppress(OSError):
                answer = self.sockets[self.sockets.index(key.fileobj)].recv(4096)
                asked = self.waiting.pop(struct.unpack(">H", answer[:2])[0], None)
                self.figures["late"] += asked is not None and asked[1] > 1

    def ask_again(self) -> None:
        now = time.monotonic()
        for number, (asked, attempt) in list(self.waiting.items()):
            if now - asked < PATIENCE_S:
                continue
            if attempt < ATTEMPTS:
                self.ask(number, attempt + 1)
            else:
                del self.waiting[number]
                self.figures["lost"] += 1

    def run(self, rate: float, stop: Path) -> None:
        began = time.monotonic()
        while not stop.exists() and time.monotonic() - began < LONGEST_S:
            due = int((time.monotonic() - began) * rate)
            self.ask_new(min(due - self.figures["asked"], MOST_AT_ONCE))
            self.take_answers(1 / rate)
            self.ask_again()
        while self.waiting:
            self.take_answers(0.1)
            self.ask_again()


if __name__ == "__main__":
    own_server, own_name, own_rate, own_stop = sys.argv[1:]
    asker = Flood(own_server, own_name)
    asker.run(float(own_rate), Path(own_stop))
    print(json.dumps(asker.figures))
