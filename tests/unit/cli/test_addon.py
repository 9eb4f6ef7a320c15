"""Tables of add-ons fit into 120 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halab_runner import halab

from lab.addons.manager import AddonStatus
from lab.cli import addon

if TYPE_CHECKING:
    import pytest


def test_the_list_of_add_ons_fits_a_terminal() -> None:
    text = halab("addon", "list").stdout
    assert max(map(len, text.splitlines())) <= 120
    assert "prometheus-server" in text


def test_addons_of_a_lab_fit_a_terminal_and_images_keep_their_origin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = ("prometheus-server", "prometheus-config-reloader", "kube-state-metrics")
    status = AddonStatus(
        name="prometheus",
        summary="",
        enabled=True,
        named=True,
        working=True,
        seen="scrapes 9 targets of 9, among them every node, etcd's members and the API servers",
        images=dict.fromkeys(images, "built"),
    )
    addon._show_statuses((status,), "text")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert all(f"{image} built" in text for image in images)
