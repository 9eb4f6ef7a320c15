from __future__ import annotations

import pytest

from lab.measure.journal_events import Entry
from lab.measure.journals import lost, suppressed


@pytest.mark.parametrize(
    ("oldest", "wanted"),
    [
        ('{"__MONOTONIC_TIMESTAMP": "95000000"}', ""),
        ('{"__MONOTONIC_TIMESTAMP": "110000000"}', ""),
        ('{"__MONOTONIC_TIMESTAMP": "700000000"}', "journal of m: it begins 600 s late"),
        (
            'Journal file is truncated, ignoring file.\n{"__MONOTONIC_TIMESTAMP": "700000000"}',
            "journal of m: it begins 600 s late",
        ),
        ("", ""),
    ],
)
def test_a_journal_that_lost_lines_is_told(oldest: str, wanted: str) -> None:
    lines = [*oldest.splitlines(), '{"__MONOTONIC_TIMESTAMP": "990000000"}'] if oldest else []
    assert lost("m", lines, 100.0).split(";")[0] == wanted


def test_lines_that_a_journal_did_not_keep_are_told() -> None:
    def said(node: str, text: str, who: str = "systemd-journald") -> Entry:
        return Entry(1.0, node, who, "", text)

    found = [
        said("m2", "Suppressed 57250 messages from etcd.service"),
        said("m", "Suppressed 10 messages from k3s.service"),
        said("m", "Suppressed 5 messages from k3s.service"),
        said("m", "Suppressed 5 messages from k3s.service", "somebody"),
        said("m", "System Journal is 2M, max 256M, 254M free."),
    ]
    assert suppressed(found) == (
        "journal of m: 15 lines of k3s.service were too many at a time and are not in it",
        "journal of m2: 57250 lines of etcd.service were too many at a time and are not in it",
    )
