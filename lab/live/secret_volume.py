"""The lab's secrets, kept in a volume of the lab: they live and die with it, and no file on the host is the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.errors import LabError
from lab.engine.files import File, unpack
from lab.engine.labels import LABEL, LABEL_HELPER, secrets_volume
from lab.kube.pki import Secrets, new_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.engine.client import Engine

FOLDER = "/secrets"


def read(engine: Engine, lab: str, image: str) -> Secrets:
    """Return the lab's secrets. Raises LabError where the volume holds none, or only a part."""
    for helper in _helper(engine, lab, image):
        secrets = Secrets(unpack(engine.read(helper, FOLDER)))
        if secrets.complete:
            return secrets
    raise LabError(
        f"the secrets of lab {lab} are incomplete",
        f"run `halab start {lab}` again, or `halab destroy {lab}`",
    )


def ensure(engine: Engine, lab: str, image: str) -> Secrets:
    """Return the lab's secrets, made new where the volume holds none (a start that was killed left it empty)."""
    for helper in _helper(engine, lab, image):
        secrets = Secrets(unpack(engine.read(helper, FOLDER)))
        if not secrets.complete:
            secrets = new_secrets(lab)
            engine.put(
                helper,
                [
                    File(path=f"{FOLDER}/{name}", content=content, mode=0o600)
                    for name, content in secrets.files.items()
                ],
            )
    return secrets


def _helper(engine: Engine, lab: str, image: str) -> Iterator[str]:
    """Lend a container that is never started: files go into a volume and come out of it through one."""
    host = {
        "Mounts": [{"Type": "volume", "Source": secrets_volume(lab), "Target": FOLDER}],
        "NetworkMode": "none",
    }
    helper = engine.create_helper(image, ["true"], {LABEL: lab, **LABEL_HELPER}, host)
    try:
        yield helper
    finally:
        engine.remove_container(helper)
