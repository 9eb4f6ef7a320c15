"""A container that is paused while a command runs in it.

The command stands still, and we do not.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import EngineError
from lab.engine import commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Ground
    from machines import Machine


def test_a_command_that_is_frozen_with_its_container_is_given_up(
    machine: Callable[..., Machine], ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = machine("loadbalancer").get_wrapped_container()
    name = str(container.name)
    monkeypatch.setattr(commands, "SLACK_S", 1.0)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            ground.engine.run(name, ["sh", "-c", "touch /begun; sleep 600"], timeout_s=15)
        except EngineError as error:
            errors.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    while ground.engine.run(name, ["test", "-e", "/begun"], timeout_s=30).code != 0:
        pass
    container.pause()
    asker.join(120)
    assert not asker.is_alive()
    # Where the command had ended by itself before the pause, there is nothing to give up.
    assert all("no answer for 16 s" in str(error) for error in errors)
    # What is asked from now on is refused at once.
    with pytest.raises(EngineError, match="paused"):
        ground.engine.run(name, ["true"])
    container.unpause()
    assert ground.engine.run(name, ["true"]).code == 0
