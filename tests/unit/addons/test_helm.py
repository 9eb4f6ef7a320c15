from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.addons import helm
from lab.addons.addon import Chart
from lab.base.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_sources_of_charts(tmp_path: Path) -> None:
    for good in ("oci://example.org/charts/prometheus", "prometheus-community/prometheus"):
        helm.check_source(good)
    for bad, why in (
        ("nobody/prometheus", "is no chart"),
        (str(tmp_path / "none"), "no chart at"),
        (str(tmp_path), "no chart at"),
    ):
        with pytest.raises(InputError, match=why):
            helm.check_source(bad)
    (tmp_path / "Chart.yaml").write_text("name: x")
    helm.check_source(str(tmp_path))
    chart = Chart(release="x", namespace="y", source=str(tmp_path), values={"a": 1})
    before = helm.fingerprint(chart)
    assert before == helm.fingerprint(chart)
    assert before != helm.fingerprint(replace(chart, values={"a": 2}))
    (tmp_path / "Chart.yaml").write_text("name: z")
    assert before != helm.fingerprint(chart)
