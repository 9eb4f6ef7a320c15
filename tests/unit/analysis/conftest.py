"""The history of a crash that went well, and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import histories
import pytest
from judged import WANTED

from lab.analysis import report

if TYPE_CHECKING:
    from lab.analysis.history.events import History


@pytest.fixture(scope="module")
def good() -> History:
    return histories.good()


@pytest.fixture(scope="module")
def crash(good: History) -> report.Report:
    return report.build(good, report.judge(good, WANTED))
