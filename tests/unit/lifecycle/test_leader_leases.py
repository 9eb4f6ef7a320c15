"""Controllers of a lab that was off lead at once: the dead ones' leases go, and no others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fake_api import FakeApi, SilentApi

from lab.lifecycle import leader_leases

if TYPE_CHECKING:
    import pytest

BOOTED_AT = 1_800_000_000.0
GROUP = "coordination.k8s.io"


def add(api: FakeApi, name: str, seconds: float | None) -> str:
    """Add a lease that was renewed so long after the boot; None: nobody has held it yet."""
    spec = {"holderIdentity": "m_1"}
    if seconds is not None:
        at = datetime.fromtimestamp(BOOTED_AT + seconds, UTC)
        spec["renewTime"] = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return api.add("Lease", name, "kube-system", GROUP, spec=spec)


def test_leases_from_before_the_boot_are_removed_and_later_ones_stay() -> None:
    api = FakeApi()
    add(api, "kube-controller-manager", -60)
    later = add(api, "kube-scheduler", 2)
    unheld = add(api, "k3s-cloud-controller-manager", None)
    node = add(api, "apiserver-abc", -60)
    leader_leases.remove_stale(api, BOOTED_AT)  # type: ignore[arg-type]
    assert set(api.objects) == {later, unheld, node}


def test_a_lease_that_is_taken_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    place = add(api, "kube-scheduler", -60)
    get = api.get

    def taken(path: str) -> dict[str, list[dict[str, object]]]:
        seen = {"items": [dict(item) for item in get(path)["items"]]}
        api.apply([api.objects[place]])
        return seen

    monkeypatch.setattr(api, "get", taken)
    leader_leases.remove_stale(api, BOOTED_AT)  # type: ignore[arg-type]
    assert place in api.objects


def test_a_silent_api_is_no_error() -> None:
    leader_leases.remove_stale(SilentApi(), BOOTED_AT)  # type: ignore[arg-type]
