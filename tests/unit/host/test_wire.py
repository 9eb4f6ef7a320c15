from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from lab.host import wire

if TYPE_CHECKING:
    from pathlib import Path


EGRESS, CLSACT = "CONFIG_NETFILTER_EGRESS=y\n", "CONFIG_NET_SCH_INGRESS=m\nCONFIG_NET_CLS_BPF=m\n"


@pytest.mark.parametrize(
    ("text", "release", "state", "detail"),
    [
        (EGRESS, "6.1.0", "ok", "by nft"),
        ("", "5.16.0", "ok", "by nft"),
        ("", "5.15.167.4-microsoft-standard-WSL2", "ok", "by tc, if"),
        (CLSACT, "5.15.0-91-generic", "ok", "by tc, as"),
        (CLSACT + "# CONFIG_NETFILTER_EGRESS is not set\n", "6.1.0", "ok", "by tc, as"),
        ("CONFIG_NET_SCH_INGRESS=m\n", "5.10.0", "warning", "no wires"),
    ],
)
def test_how_wires_are_cut_is_told(text: str, release: str, state: str, detail: str) -> None:
    judged = wire.judged(text, release)
    assert judged[0] == state
    assert detail in judged[1]
    assert bool(judged[2]) == (state == "warning" or "if" in detail)


def test_the_kernels_configuration_is_read_where_it_is(tmp_path: Path) -> None:
    assert wire.config(tmp_path, "6.1") == ""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/config-6.1").write_text(CLSACT)
    assert wire.config(tmp_path, "6.1") == CLSACT
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(EGRESS.encode()))
    assert wire.config(tmp_path, "6.1") == EGRESS
