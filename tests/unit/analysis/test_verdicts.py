from __future__ import annotations

import pytest

from lab.analysis import checkers, verdicts


def test_the_worst_of_verdicts() -> None:
    def made(outcome: verdicts.Outcome) -> verdicts.Verdict:
        return verdicts.Verdict("x", outcome)

    assert verdicts.worst([made("pass"), made("unknown"), made("fail")]) == "fail"
    assert verdicts.worst([made("pass"), made("unknown")]) == "unknown"
    assert verdicts.worst([made("pass")]) == "pass"
    assert verdicts.worst([]) == "unknown"
    assert verdicts.EXIT_CODES == {"pass": 0, "fail": 4, "unknown": 5}
    with pytest.raises(KeyError):
        checkers.find("vip")
