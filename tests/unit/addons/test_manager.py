from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest
from addon_site import RecordApi, site

from lab.addons.manager import AddonManager, known
from lab.base.errors import InputError
from lab.base.progress import Silent

if TYPE_CHECKING:
    from lab.images.builder import Builder
    from lab.topology.model import Topology


def test_an_unknown_addon_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(InputError, match="no add-on `promtheus`") as error:
        known("promtheus")
    assert error.value.hint == "did you mean `prometheus`?"


@pytest.mark.parametrize(
    ("name", "why"),
    [("dns-ha", "the cluster was made with it"), ("metrics-server", "k3s brings it itself")],
)
def test_what_the_cluster_stands_on_is_not_disabled(
    topology: Topology, name: str, why: str
) -> None:
    addons = AddonManager(
        cast("Builder", None), site(topology, "k3s", RecordApi()), Silent(), threading.Event()
    )
    with pytest.raises(InputError, match=why):
        addons.disable(name)
