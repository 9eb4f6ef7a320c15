"""Secrets in the lab's volume: whole, half written, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from fake_engine import FakeEngine

from lab.base.errors import LabError
from lab.engine.files import File
from lab.kube.pki import new_secrets
from lab.live import secret_volume

if TYPE_CHECKING:
    from lab.engine.client import Engine

SECRETS = new_secrets("x")
VOLUME = "halab-x-secrets"


def engine_with(*names: str) -> FakeEngine:
    """Return an engine whose volume of secrets holds these files."""
    engine = FakeEngine()
    engine.add_volume(VOLUME)
    for name in names:
        path = f"{secret_volume.FOLDER}/{name}"
        engine.volumes[VOLUME].files[path] = File(path=path, content=SECRETS.files[name])
    return engine


def test_read_and_ensure_return_the_secrets_when_they_are_whole() -> None:
    engine = engine_with(*SECRETS.files)
    assert secret_volume.read(cast("Engine", engine), "x", "halab/x:1") == SECRETS
    assert secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1") == SECRETS
    assert engine.containers == {}


@pytest.mark.parametrize("kept", [(), ("ca.crt", "ca.key"), tuple(SECRETS.files)[:-1]])
def test_read_refuses_and_ensure_makes_anew_when_secrets_are_half_written(
    kept: tuple[str, ...],
) -> None:
    engine = engine_with(*kept)
    with pytest.raises(LabError, match="secrets of lab x are incomplete") as caught:
        secret_volume.read(cast("Engine", engine), "x", "halab/x:1")
    assert "halab start x" in caught.value.hint
    made = secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1")
    assert made.complete
    assert made.files.keys() == SECRETS.files.keys()
    assert secret_volume.read(cast("Engine", engine), "x", "halab/x:1") == made
    assert {file.mode for file in engine.volumes[VOLUME].files.values()} == {0o600}
    assert engine.containers == {}


def test_ensure_removes_its_helper_when_the_engine_fails() -> None:
    class Broken(FakeEngine):
        def read(self, container: str, path: str) -> bytes:
            raise LabError("the engine broke off")

    engine = Broken()
    with pytest.raises(LabError, match="broke off"):
        secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1")
    assert engine.containers == {}
