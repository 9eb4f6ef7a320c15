from __future__ import annotations

from lab.images.versions import Component


def test_components_fill_in_version_and_architecture() -> None:
    row = Component(name="x", version="v1.2.3")
    assert row.expand("{version} {plain} {arch}", "arm64") == "v1.2.3 1.2.3 arm64"
