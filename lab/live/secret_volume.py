"""A lab's secrets, in a volume of the lab: they live and die with it.

No file on the host is their source. Files go into a volume, and come out of it, through a container
that is never started.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lab.base.errors import LabError
from lab.engine.files import File, unpack
from lab.engine.labels import LABEL, LABEL_HELPER, secrets_volume
from lab.kube.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.engine.client import Engine

FOLDER = "/secrets"


def read(engine: Engine, lab: str, image: str) -> Secrets:
    """Return the lab's secrets. Raises LabError if the volume holds none, or only some.

    `image` is any that the engine has: a helper container needs one.
    """
    with _helper(engine, lab, image) as helper:
        secrets = Secrets(unpack(engine.read(helper, FOLDER)))
    if not secrets.complete:
        raise LabError(
            f"the secrets of lab {lab} are incomplete",
            f"run `halab start {lab}` again, or `halab destroy {lab}`",
        )
    return secrets


def ensure(engine: Engine, lab: str, image: str) -> Secrets:
    """Return the lab's secrets; make new ones if the volume does not hold all of them.

    A start that was killed may have left it empty.
    """
    with _helper(engine, lab, image) as helper:
        secrets = Secrets(unpack(engine.read(helper, FOLDER)))
        if not secrets.complete:
            from lab.kube.pki import new_secrets

            secrets = new_secrets(lab)
            files = [
                File(path=f"{FOLDER}/{name}", content=content, mode=0o600)
                for name, content in secrets.files.items()
            ]
            engine.put(helper, files)
    return secrets


@contextlib.contextmanager
def _helper(engine: Engine, lab: str, image: str) -> Iterator[str]:
    """Yield a helper container with the lab's volume at FOLDER, and remove it afterwards."""
    host = {
        "Mounts": [{"Type": "volume", "Source": secrets_volume(lab), "Target": FOLDER}],
        "NetworkMode": "none",
    }
    helper = engine.create_helper(image, ["true"], {LABEL: lab, **LABEL_HELPER}, host)
    try:
        yield helper
    finally:
        engine.remove_container(helper)
