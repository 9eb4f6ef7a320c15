from __future__ import annotations

from typing import Any

import pytest
from faultdoubles import FaultEngine, site

from lab.chaos.faults import disk
from lab.engine.commands import Result


def test_slow_is_what_etcd_says_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "etcd_disk_wal_fsync_duration_seconds_{} {}"
    told = iter([(10, 0.1), (14, 1.1), (14, 1.1), (14, 1.1)])
    monkeypatch.setattr(disk.time, "sleep", lambda _: None)

    class Etcd(FaultEngine):
        def run(self, *_: Any, **__: Any) -> Result:
            count, total = next(told)
            return Result(0, line.format("sum", total) + "\n" + line.format("count", count))

    place = site(engine=Etcd())
    assert disk.mean_fsync(place, 1) == pytest.approx(250)
    assert disk.mean_fsync(place, 1) is None
