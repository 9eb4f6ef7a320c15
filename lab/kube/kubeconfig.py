"""Kubeconfigs: each lab's own, and its entries in the user's file.

Entries of other names in that file stay as they are.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base import paths, whole_file
from lab.base.errors import InputError, LabError
from lab.kube.secrets import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_WAIT_S = 10
"""kubectl holds the lock for milliseconds: after ten seconds, its owner has died."""
LISTS = ("clusters", "users", "contexts")


def context(lab: str) -> str:
    """Return the one name of a lab's cluster, user and context."""
    return f"halab-{lab}"


def build(lab: str, server: str, authority: bytes, admin: Pair) -> dict[str, Any]:
    """Return a lab's kubeconfig. `server` is the API's URL, `authority` a certificate (PEM)."""
    name = context(lab)
    return render(server, authority, admin, cluster=name, user=name)


def render(
    server: str, authority: bytes, client: Pair, *, cluster: str, user: str
) -> dict[str, Any]:
    """Return a kubeconfig with one cluster, one user, and a context named after the cluster."""

    def b64(content: bytes) -> str:
        return base64.b64encode(content).decode()

    endpoint = {"server": server, "certificate-authority-data": b64(authority)}
    identity = {
        "client-certificate-data": b64(client.certificate),
        "client-key-data": b64(client.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": endpoint}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }


def credentials(text: str, path: str) -> tuple[bytes, Pair]:
    """Return the server's authority (PEM) and the client's pair of a kubeconfig with one of each.

    Raises LabError for any other file; `path` is its name in the message.
    """
    whole = _parsed(text, path)
    try:
        (cluster,), (user,) = whole["clusters"], whole["users"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"])
        certificate = base64.b64decode(user["user"]["client-certificate-data"])
        key = base64.b64decode(user["user"]["client-key-data"])
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"{path} is not a kubeconfig of a lab: {error!r}") from error
    return authority, Pair(key, certificate)


def _parsed(text: str, path: str) -> Any:  # noqa: ANN401 (any YAML value)
    """Read a file that is JSON if halab wrote it, and YAML if K3s did.

    Its parser is imported only then: it is slow, to import and to read.
    """
    try:
        return json.loads(text)
    except ValueError:
        from lab.base import yaml_files

        return yaml_files.foreign(text, path)


def own_path(lab: str) -> Path:
    """Return the path of the lab's own kubeconfig."""
    return paths.of_lab(lab, "kubeconfig")


def user_path() -> Path:
    """Return the path of the user's kubeconfig, by kubectl's rule for writing.

    It is the first file of $KUBECONFIG, else ~/.kube/config.
    """
    named = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def write(path: Path, content: dict[str, Any]) -> None:
    """Replace a kubeconfig in one move: a reader sees either the old file or the new one.

    An existing file keeps its mode; a new one has 0600.
    """
    from lab.base import yaml_files

    target = path.resolve()  # a link to the real file stays a link
    mode = target.stat().st_mode & 0o777 if target.exists() else whole_file.PRIVATE
    with whole_file.replacing(target, mode) as file:
        file.write(yaml_files.dump(content).encode())
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of kubectl and kind: a file `config.lock` that only one can make.

    Raises LabError if somebody else holds it for LOCK_WAIT_S, or it cannot be made.
    """
    from filelock import SoftFileLock, Timeout

    lock = SoftFileLock(f"{path}.lock", timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout:
        raise LabError(
            f"{path}.lock is held by somebody else",
            "if no kubectl runs, its owner has died: remove that file",
        ) from None
    except OSError as error:
        raise LabError(f"cannot make {path}.lock: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def merge(path: Path, added: dict[str, Any]) -> None:
    """Put a lab's entries into the user's file and make its context the current one.

    Entries of other names stay as they are. Raises InputError if the file is not a kubeconfig, and
    LabError if it cannot be locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def change(config: dict[str, Any]) -> None:
        for kind in LISTS:
            names = {row["name"] for row in added[kind]}
            others = [row for row in config.get(kind) or [] if row.get("name") not in names]
            config[kind] = others + added[kind]
        config["current-context"] = added["current-context"]

    _edit(path, change)


def unmerge(path: Path, lab: str) -> bool:
    """Take a lab's entries out of the user's file; return whether it named the lab.

    A missing file is not made. Errors are those of `merge`.
    """
    name = context(lab)
    if not path.exists() or name not in path.read_text(errors="replace"):
        return False

    def change(config: dict[str, Any]) -> None:
        for kind in LISTS:
            config[kind] = [row for row in config.get(kind) or [] if row.get("name") != name]
        if config.get("current-context") == name:
            config["current-context"] = config["contexts"][0]["name"] if config["contexts"] else ""

    _edit(path, change)
    return True


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Read, change and write a kubeconfig under its lock. Any other file is left alone."""
    with _locked(path):
        config = _read(path) or {"apiVersion": "v1", "kind": "Config", "preferences": {}}
        change(config)
        write(path, config)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists() or not path.stat().st_size:
        return {}
    from lab.base import yaml_files

    config: dict[str, Any] = yaml_files.foreign(path.read_text(), str(path))
    if not _is_kubeconfig(config):
        raise InputError(
            f"{path} is not a kubeconfig; it was not changed",
            "repair it, or point $KUBECONFIG at another file",
        )
    return config


def _is_kubeconfig(config: Any) -> bool:  # noqa: ANN401 (any YAML value)
    if not isinstance(config, dict):
        return False
    return all(isinstance(row, dict) for kind in LISTS for row in config.get(kind) or [])
