from __future__ import annotations

from typing import TYPE_CHECKING, cast

from addon_site import RecordApi

from lab.addons import record as addonrecord
from lab.addons.record import AddonState

if TYPE_CHECKING:
    from lab.kube.api import KubeApi


def test_a_record_remembers_and_forgets() -> None:
    cluster = RecordApi()
    record = addonrecord.Record(cast("KubeApi", cluster))
    assert record.rows() == {}
    record.write("prometheus", AddonState(enabled=True, digest="d", options={"chart": "x"}))
    record.write("dns-ha", AddonState(disabled=True))
    assert record.rows() == {
        "prometheus": AddonState(enabled=True, digest="d", options={"chart": "x"}),
        "dns-ha": AddonState(disabled=True),
    }
    assert addonrecord.enabled(("dns-ha", "metrics-server"), record.rows()) == (
        "metrics-server",
        "prometheus",
    )
    record.write("prometheus", None)
    assert set(record.rows()) == {"dns-ha"}


def test_only_stamped_objects_are_an_addons_own() -> None:
    item = {"kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert addonrecord.is_stamped("one", addonrecord.stamped("one", item))
    assert not addonrecord.is_stamped("two", addonrecord.stamped("one", item))
    assert not addonrecord.is_stamped("one", item)
    assert not addonrecord.is_stamped("one", None)
