"""Kubeconfigs: one for each lab, and merging it into the user's own file without ever losing a line of it."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import SoftFileLock, Timeout

from lab.base import paths, yaml_files
from lab.base.errors import InputError, LabError
from lab.kube.pki import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_WAIT_S = 10
"""kubectl holds the lock for milliseconds; ten seconds mean that its owner died."""
LISTS = ("clusters", "users", "contexts")


def context(lab: str) -> str:
    """Return the name of the lab's cluster, user and context."""
    return f"halab-{lab}"


def build(lab: str, server: str, authority: bytes, admin: Pair) -> dict[str, Any]:
    """Return the lab's kubeconfig as a mapping."""
    name = context(lab)
    return render(server, authority, admin, cluster=name, user=name)


def render(
    server: str, authority: bytes, client: Pair, *, cluster: str, user: str
) -> dict[str, Any]:
    """Return a kubeconfig of one cluster, one user and one context, named after the cluster."""

    def b64(content: bytes) -> str:
        return base64.b64encode(content).decode()

    place = {"server": server, "certificate-authority-data": b64(authority)}
    credentials = {
        "client-certificate-data": b64(client.certificate),
        "client-key-data": b64(client.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": place}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }


def credentials(text: str, path: str) -> tuple[bytes, Pair]:
    """Return the server's authority and the client's pair that a kubeconfig with one of each holds.

    Raises LabError for any other file; `path` is what the message calls it.
    """
    whole = yaml_files.foreign(text, path)
    try:
        (cluster,), (user,) = whole["clusters"], whole["users"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"])
        certificate = base64.b64decode(user["user"]["client-certificate-data"])
        key = base64.b64decode(user["user"]["client-key-data"])
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"{path} is no kubeconfig of a lab: {error!r}") from error
    return authority, Pair(key, certificate)


def own_path(lab: str) -> Path:
    """Return where the lab's own kubeconfig is kept."""
    return paths.of_lab(lab, "kubeconfig")


def user_path() -> Path:
    """Return the user's kubeconfig: the first file of $KUBECONFIG, else ~/.kube/config (kubectl's rule for writing)."""
    named = [word for word in os.environ.get("KUBECONFIG", "").split(os.pathsep) if word]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a kubeconfig, 0600, in one move: whoever reads meanwhile sees the old or the new one, whole."""
    target = path.resolve()  # a link to the real file stays a link
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(yaml_files.dump(content))
            file.flush()
            os.fsync(file.fileno())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        Path(part).chmod(mode)
        Path(part).replace(target)
    finally:
        Path(part).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock that kubectl and kind hold: a file `config.lock` made exclusively."""
    lock = SoftFileLock(f"{path}.lock", timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout:
        raise LabError(
            f"{path}.lock is held by somebody",
            "if no kubectl runs, its owner died: remove that file",
        ) from None
    except OSError as error:
        raise LabError(f"cannot write beside {path}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def merge(path: Path, added: dict[str, Any]) -> None:
    """Put a lab's entries into the user's file and make its context the current one; entries of other names stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def change(whole: dict[str, Any]) -> None:
        for kind in LISTS:
            names = {row["name"] for row in added[kind]}
            whole[kind] = [
                row for row in whole.get(kind) or [] if row.get("name") not in names
            ] + added[kind]
        whole["current-context"] = added["current-context"]

    _edit(path, change)


def unmerge(path: Path, lab: str) -> bool:
    """Take a lab's entries out of the user's file; tells whether there were any.

    A file that is not there stays so.
    """
    name = context(lab)
    if not path.exists() or name not in path.read_text(errors="replace"):
        return False

    def change(whole: dict[str, Any]) -> None:
        for kind in LISTS:
            whole[kind] = [row for row in whole.get(kind) or [] if row.get("name") != name]
        if whole.get("current-context") == name:
            whole["current-context"] = whole["contexts"][0]["name"] if whole["contexts"] else ""

    _edit(path, change)
    return True


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Read, change, write under the lock. A file that is no kubeconfig is left alone."""
    with _locked(path):
        whole = _read(path) or {"apiVersion": "v1", "kind": "Config", "preferences": {}}
        change(whole)
        write(path, whole)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists() or not path.stat().st_size:
        return {}
    whole = yaml_files.foreign(path.read_text(), str(path))
    rows = [
        row
        for kind in LISTS
        for row in (whole.get(kind) or [] if isinstance(whole, dict) else [None])
    ]
    if not isinstance(whole, dict) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path} is not a kubeconfig; it was not changed",
            "repair it, or point $KUBECONFIG at another file",
        )
    return whole
