from __future__ import annotations

from lab.base.messages import shown


def test_shown_escapes_what_a_terminal_would_obey() -> None:
    assert shown("a\x1b[2Jb\ud800") == "a\\x1b[2Jb\\ud800"
    assert shown("Zürich …") == "Zürich …"


def test_shown_cuts_what_is_long() -> None:
    assert shown("x" * 60) == "x" * 60
    assert shown("x" * 61) == "x" * 59 + "…"
