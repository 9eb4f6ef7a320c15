"""Who gets a turn at the load balancer.

The program itself is run, with doubles of curl, nginx, ss and sleep that play what masters answer.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "images/loadbalancer/files/usr/local/sbin/halab-balance"
# Each sleep begins a round; where no answers are left the program ends.
SLEEP = """#!/bin/sh
echo "$1" >> "$ANSWERS/pauses"
n=$(($(cat "$ROUND") + 1)); echo $n > "$ROUND"; test -e "$ANSWERS/$n"
"""
CURL = '#!/bin/sh\necho "$@" > "$ANSWERS/asked"\ncat "$ANSWERS/$(cat "$ROUND")"\n'
NGINX = '#!/bin/sh\ncp "$HALAB_ETC/upstream.conf" "$ANSWERS/reloaded.$(cat "$ROUND")"\n'
SS = '#!/bin/sh\necho "$@" >> "$ANSWERS/cut"\n'
DOWN = "000 200 200"
BUSY = "late 200 200"
UP = "200 200 200"
REFUSED = "401 200 200"
NOBODY = "000 500 000"
ONE = "000 200 000"


def answer(index: int, code: str) -> str:
    """Write what curl does: the URL's number, the code, its connections.

    `late`: taken, but not answered in time.
    """
    return f"{index} {'000' if code == 'late' else code} {0 if code == '000' else 1}\n"


def play(folder: Path, *rounds: str) -> tuple[list[str], dict[int, list[str]]]:
    """Play rounds of answers; return what was printed, and by round who was down after a reload."""
    answers, etc, programs = (folder / name for name in ("answers", "etc", "bin"))
    for made in (answers, etc, programs):
        made.mkdir()
    for name, text in {"sleep": SLEEP, "curl": CURL, "nginx": NGINX, "ss": SS}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for number, codes in enumerate(rounds, 1):
        (answers / str(number)).write_text("".join(map(answer, range(3), codes.split())))
    (etc / "upstream.conf").write_text(
        "server 172.30.0.48:6443 down;  # m2\n"
    )  # left by an earlier life
    (etc / "masters").write_text("m 172.30.0.49 6443\nm2 172.30.0.48 6443\nm3 172.30.0.47 6443\n")
    (folder / "round").write_text("0")
    there = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ROUND": str(folder / "round"),
        "ANSWERS": str(answers),
        "HALAB_ETC": str(etc),
    }
    done = subprocess.run(
        ["bash", str(PROGRAM)], env=there, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    reloads = {
        int(path.suffix[1:]): path.read_text().splitlines() for path in answers.glob("reloaded.*")
    }
    assert all(len(lines) == 3 for lines in reloads.values())
    return done.stdout.splitlines(), {
        number: [line.split()[-1] for line in lines if " down;" in line]
        for number, lines in reloads.items()
    }


@pytest.mark.parametrize(
    ("rounds", "said", "down"),
    [
        ((UP, UP, UP), [], {0: []}),
        ((DOWN, UP, DOWN, UP), [], {0: []}),  # one late answer is none
        ((DOWN, DOWN, DOWN), ["m does not serve (answer: 000)"], {0: [], 2: ["m"]}),
        (
            (DOWN, DOWN, UP, UP),
            ["m does not serve (answer: 000)", "m serves"],
            {0: [], 2: ["m"], 4: []},
        ),
        # K3s refuses who has no certificate before it looks at etcd and quorum: no sign of health.
        ((REFUSED, REFUSED), ["m does not serve (answer: 401)"], {0: [], 2: ["m"]}),
        (
            (NOBODY, NOBODY),
            [
                f"{name} does not serve (answer: {code:03})"
                for name, code in (("m", 0), ("m2", 500), ("m3", 0))
            ],
            {0: [], 2: []},
        ),
        (
            (NOBODY, NOBODY, ONE, UP, UP),
            [
                "m does not serve (answer: 000)",
                "m2 does not serve (answer: 500)",
                "m3 does not serve (answer: 000)",
                "m2 serves",  # at once: where nobody serves, any is better than none
                "m serves",
                "m3 serves",
            ],
            {0: [], 2: [], 3: ["m", "m3"], 5: []},
        ),
    ],
)
def test_two_answers_in_a_row_make_a_change_and_somebody_is_always_tried(
    tmp_path: Path, rounds: tuple[str, ...], said: list[str], down: dict[int, list[str]]
) -> None:
    assert play(tmp_path, *rounds) == (said, down)


def test_masters_are_asked_more_often_while_nobody_serves(tmp_path: Path) -> None:
    play(tmp_path, NOBODY, NOBODY, ONE, UP)
    pauses = (tmp_path / "answers" / "pauses").read_text().split()
    assert pauses == ["1", "1", "0.3", "1", "1"]


def test_masters_are_asked_with_a_certificate(tmp_path: Path) -> None:
    play(tmp_path, UP)
    etc, words = tmp_path / "etc", (tmp_path / "answers" / "asked").read_text()
    assert f" --cacert {etc}/ca.crt --cert {etc}/health.crt --key {etc}/health.key " in words
    # curl's time_connect is 0 for a master that took the connection and is late with TLS.
    assert "%{urlnum} %{http_code} %{num_connects}" in words


CUT = "-K dst 172.30.0.49 dport = :6443\n"


@pytest.mark.parametrize(
    ("rounds", "cut"),
    [
        (("000 500 200",) * 3, CUT * 2),  # what answers, and wrong, is not cut off
        ((BUSY,) * 3, ""),  # late is not gone: its kernel takes connections
        ((BUSY,) * 14, ""),  # 28 s: what it was asked it may still answer
        ((BUSY,) * 15, CUT),  # it hangs, and nobody has fenced it
        (((BUSY,) * 8 + (UP,)) * 2, ""),
        ((BUSY, BUSY, BUSY, DOWN), CUT),  # it hung, and was fenced: at once
        (("000 000 000",) * 5, ""),  # where nobody answers, it may be the host
        ((NOBODY,) * 3 + (DOWN, DOWN), CUT * 2),
        # Late ones are not counted while nobody serves: the host had no time, perhaps.
        (("late late late",) * 20 + (BUSY,) * 2, ""),
    ],
)
def test_connections_to_a_master_that_does_not_even_answer_are_ended(
    tmp_path: Path, rounds: tuple[str, ...], cut: str
) -> None:
    play(tmp_path, *rounds)
    ended = tmp_path / "answers" / "cut"
    assert (ended.read_text() if ended.exists() else "") == cut
