"""When the floating address leaves a master whose machine lives.

The resource agent itself is run, with doubles of curl and attrd_updater.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[3] / "images/node/files/usr/lib/ocf/resource.d/halab/apiserver"
CURL = '#!/bin/sh\necho "$@" >"$HA_RSCTMP/asked"\ncat "$HA_RSCTMP/answers" >&2\n'
# The watcher sleeps when curl has ended; here that is its own end.
SLEEP = "#!/bin/sh\nkill $PPID\n"
TOLD = '#!/bin/sh\nwhile [ "$1" != -U ]; do shift; done\necho "$2" >>"$HA_RSCTMP/attribute"\n'
GOOD, REFUSED, WRONG, LATE = "200 0", "000 7", "500 0", "000 28"


def watch(folder: Path, *answers: str, load: float = 0.0) -> str:
    """Play answers on a host with this load for each processor; return the attribute's values."""
    for name, text in {"curl": CURL, "sleep": SLEEP, "attrd_updater": TOLD}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "ocf-shellfuncs").touch()
    (folder / "answers").write_text("".join(f"{answer}\n" for answer in answers))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    environment |= {"OCF_FUNCTIONS_DIR": str(folder), "HA_RSCTMP": str(folder)}
    processors = os.sysconf("SC_NPROCESSORS_ONLN")
    (folder / "loadavg").write_text(f"{load * processors:.2f} 1.00 1.00 1/100 4711\n")
    environment |= {"HALAB_LOADAVG": str(folder / "loadavg")}
    environment |= {f"OCF_RESKEY_{name}": name for name in ("url", "cacert", "cert", "key")}
    subprocess.run(["sh", str(AGENT), "watch"], env=environment, check=True, timeout=60)
    return (folder / "attribute").read_text().replace("\n", "")


@pytest.mark.parametrize(
    ("answers", "values"),
    [
        ((GOOD, GOOD), "1"),
        ((REFUSED,), "0"),  # a machine that boots must not hold the address
        ((LATE,), "0"),
        ((GOOD, REFUSED, GOOD, WRONG, GOOD), "1"),
        ((GOOD, REFUSED, REFUSED, GOOD), "101"),
        ((GOOD, WRONG, REFUSED), "10"),
        ((GOOD, LATE, LATE, GOOD, LATE, LATE), "1"),  # late is not dead
        ((GOOD, LATE, LATE, LATE), "1late"),
        ((GOOD, LATE, LATE, LATE, GOOD), "1late1"),
        ((GOOD, LATE, LATE, LATE, WRONG, WRONG), "1late0"),
        ((GOOD, LATE, WRONG), "1"),
        ((GOOD, LATE, WRONG, LATE), "1late"),
        ((GOOD, LATE, WRONG, WRONG), "10"),
    ],
)
def test_refusals_and_bad_answers_count_more_than_late_ones(
    tmp_path: Path, answers: tuple[str, ...], values: str
) -> None:
    assert watch(tmp_path, *answers) == values


@pytest.mark.parametrize(
    ("answers", "values"),
    [
        ((GOOD, *[LATE] * 9), "1"),
        ((GOOD, *[LATE] * 10), "1late"),
        ((GOOD, LATE, WRONG, WRONG), "10"),  # a server that refuses is no better for it
    ],
)
def test_a_late_server_has_more_time_when_the_host_is_busy(
    tmp_path: Path, answers: tuple[str, ...], values: str
) -> None:
    assert watch(tmp_path, *answers, load=8.0) == values


def test_the_server_is_given_the_time_to_say_that_its_etcd_does_not_answer(tmp_path: Path) -> None:
    watch(tmp_path, GOOD)
    asked = (tmp_path / "asked").read_text().split()
    assert float(asked[asked.index("--max-time") + 1]) > 2.0
