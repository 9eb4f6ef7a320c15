from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
from addon_site import RecordApi, site

from lab.addons import addon, requirements
from lab.addons.addon import AddonContext, Needs
from lab.base.errors import InputError

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_no_memory_is_refused_beforehand_with_the_figure(topology: Topology) -> None:
    class Hungry(addon.Addon):
        name, summary = "hungry", ""

        def needs(self, _: AddonContext) -> Needs:
            return Needs(memory_mib=5000)

        def prepare(self, _: AddonContext) -> NoReturn:
            raise AssertionError("something was done")

    here = site(topology, cluster=RecordApi(), memory="812\n")
    with pytest.raises(
        InputError,
        match="needs 5000 MiB of memory, 812 MiB are free on the engine's machine; nothing was",
    ):
        requirements.check(Hungry(), here, running=False)
