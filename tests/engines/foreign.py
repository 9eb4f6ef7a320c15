"""Container engines of other versions on this machine, each apart from the host's.

An engine runs on a Debian of its own, in mount, network and pid namespaces of its own. When its
first process ends, the kernel ends all others and takes the mounts and the network away; and that
process ends with the runner, also by kill -9. What a kernel does not take away is swept at both
ends of a run: data, loop devices, cgroups.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab.base import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

TOOLS = ("debootstrap", "unshare", "nsenter", "setpriv", "losetup")
PACKAGES = (
    "docker.io",
    "docker-cli",  # since trixie a package of its own
    "iptables",
    "iproute2",  # enter.sh
    "kmod",  # the engine loads modules where the kernel has any
    "apparmor",  # without its parser an engine starts nothing on a host with AppArmor
)
WASTE = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
READY_S = 60  # 3 s on an idle machine
END_S = 30  # the engine gives its containers 15 s
LOCK_S = 30  # what a killed run left dies within a second or two
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Kind:
    """An engine to be had: a release of Debian, which packages it, and where it keeps images."""

    name: str
    suite: str
    containerd: bool

    @property
    def mark(self) -> str:
        """What this engine's folders and cgroups are called."""
        return f"halab-engine-{self.name}"


KINDS = {
    kind.name: kind
    for major, suite in (("26", "trixie"), ("28", "forky"))
    for kind in (
        Kind(f"{major}-overlay2", suite, containerd=False),
        Kind(f"{major}-containerd", suite, containerd=True),
    )
}
"""Docker 29 keeps images in containerd unless told otherwise. forky is not released: its engine may
be a later one some day."""
SMALLEST = "28-containerd"


def lacking(platform: str, uid: int, there: Callable[[str], object]) -> str:
    """Say why no other engine can run here; empty where one can."""
    if platform != "linux":
        return "engines of Debian run on Linux only"
    if uid != 0:
        return "needs root: mounts, namespaces, cgroups"
    missing = [tool for tool in TOOLS if not there(tool) and not there(f"/usr/sbin/{tool}")]
    return f"not here: {', '.join(missing)}" if missing else ""


def refused() -> str:
    """Try the namespaces; give the kernel's refusal, as in a container without CAP_SYS_ADMIN."""
    mount = ["mount", "-t", "proc", "proc", "/proc"]
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", *mount],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"no namespaces: {tried.stderr.strip()}"


def cache() -> Path:
    """Return the folder for roots and data. Made when missing."""
    folder = paths.cache() / "engines"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(name: str, wait_s: float) -> Iterator[int]:
    """Hold a lock and give its descriptor; who inherits it, holds it too. Raises TimeoutError."""
    with (cache() / f"{name}.lock").open("w") as file:
        begin = time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() - begin > wait_s:
                    raise TimeoutError(f"another run holds {file.name}") from None
                time.sleep(0.2)
            else:
                break
        yield file.fileno()


def root(suite: str) -> Path:
    """Return a Debian with its engine; made once, kept in the cache. Raises CalledProcessError."""
    folder = cache() / f"root-{suite}"
    with locked(folder.name, wait_s=600):
        if folder.exists():
            return folder
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        tool = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
        argv = [tool, "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(part)]
        scripts = Path("/usr/share/debootstrap/scripts")
        if not (
            scripts / suite
        ).exists():  # an older debootstrap does not know it by name; all are installed as sid is
            argv += ["", str(scripts / "sid")]
        with (cache() / f"{folder.name}.log").open("w") as log:
            subprocess.run(argv, check=True, stdout=log, stderr=subprocess.STDOUT)
        for waste in WASTE:
            shutil.rmtree(part / waste, ignore_errors=True)
        part.rename(folder)
    return folder


class Foreign:
    """One engine, from its start to the last trace of it."""

    def __init__(self, kind: Kind) -> None:
        """Nothing happens yet."""
        self.kind = kind
        self.run_folder = Path(
            "/run", kind.mark
        )  # a socket's path has 108 bytes: a home may be deep
        self.data = cache() / f"data-{kind.name}"
        self.log = cache() / f"{kind.name}.log"
        self.socket = self.run_folder / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises OSError or CalledProcessError where it does not.
        """
        place = root(self.kind.suite)
        lock = self._closing.enter_context(locked(self.kind.name, LOCK_S))
        self.sweep()
        self._closing.callback(self.sweep)
        for folder in (self.run_folder, self.data):
            folder.mkdir(mode=0o700)
        configuration = self.run_folder / "daemon.json"
        configuration.write_text(json.dumps(self.configuration()))
        enter = Path(__file__).with_name("enter.sh")
        argv = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ]
        argv += [
            "bash",
            str(enter),
            str(place),
            str(configuration),
            str(self.run_folder),
            str(self.data),
        ]
        with self.log.open("wb") as log:
            # The lock goes along: it is free when the engine's last process is gone. A session of
            # its own: ^C is the runner's.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )
        self._closing.callback(self.end)
        try:
            self._await()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and sweep."""
        self._closing.close()

    def configuration(self) -> dict[str, object]:
        """Return the engine's daemon.json."""
        store = {} if self.kind.containerd else {"storage-driver": "overlay2"}
        return {
            "hosts": [f"unix://{self.socket}"],
            "data-root": str(self.data),
            "cgroup-parent": f"/{self.kind.mark}",
            "features": {"containerd-snapshotter": self.kind.containerd},
            **store,
        }

    def version(self) -> str:
        """Ask the engine for its version. Raises OSError where none answers."""
        connection = http.client.HTTPConnection("engine", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.socket))
            connection.request("GET", "/version")
            return str(json.load(connection.getresponse())["Version"])

    def environment(self, home: Path) -> Mapping[str, str]:
        """Return the environment of whoever uses it.

        Its socket, and a home of its own but for the cache of what was built.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HALAB_", "DOCKER_"))
        }
        return {
            **kept,
            "DOCKER_HOST": f"unix://{self.socket}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(paths.cache().parent),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_DATA_HOME": str(home / "data"),
            "KUBECONFIG": "",
        }

    def run(self, argv: Sequence[str]) -> int:
        """Run a command on the host's root, in the engine's network; returns its exit code.

        It ends with us.
        """
        assert self._process is not None
        enter = [
            "nsenter",
            f"--net=/proc/{self._process.pid}/ns/net",
            "setpriv",
            "--pdeathsig",
            "KILL",
        ]
        home = self.data / "home"
        home.mkdir(exist_ok=True)
        child = subprocess.Popen([*enter, *argv], env=self.environment(home))
        try:
            return child.wait()
        except BaseException:
            # ^C reached the child as well: it cleans up. A second one, or a signal to us alone,
            # ends it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_S)
            child.kill()
            child.wait()
            raise

    def end(self) -> None:
        """End the engine: in good order, else with all that its namespaces hold."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(
                signal.SIGKILL
            )  # unshare; its child, PID 1 of the namespace, is killed with it
            self._process.wait()

    def sweep(self) -> None:
        """Remove what a kernel leaves of an engine that ended: loop devices, cgroups, folders."""
        for device in loops(self.data):
            subprocess.run(["losetup", "--detach", device], check=False)
        for parent in (CGROUPS, *CGROUPS.glob("*/")):
            remove_cgroups(parent / self.kind.mark)
        for folder in (self.run_folder, self.data):
            # Not shutil's: no mount may be crossed, whatever happened.
            subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)

    def _await(self) -> None:
        begin = time.monotonic()
        while True:
            assert self._process is not None
            with contextlib.suppress(OSError):
                self.version()
                return
            code = self._process.poll()
            if code is not None or time.monotonic() - begin > READY_S:
                tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-15:])
                raise OSError(
                    f"engine {self.kind.name} does not answer (exit code {code}):\n{tail}"
                )
            time.sleep(0.2)


def loops(folder: Path) -> list[str]:
    """Return the loop devices whose files are in a folder.

    By inode: the names that the kernel tells are of other namespaces.
    """
    argv = ["losetup", "--list", "--json", "--output", "NAME,BACK-INO,BACK-MAJ:MIN"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    rows = json.loads(told)["loopdevices"] if told.strip() else []
    if not rows or not folder.exists():
        return []
    device = folder.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    inodes = {str(entry.lstat().st_ino) for entry in folder.rglob("*") if entry.is_file()}
    return [
        row["name"]
        for row in rows
        if str(row["back-ino"]) in inodes and row["back-maj:min"].strip() == here
    ]  # losetup pads it


def remove_cgroups(top: Path, wait_s: float = 10) -> None:
    """Remove a tree of cgroups from its leaves up.

    Raises OSError for one that still has a process after a while.
    """
    begin = time.monotonic()
    while top.is_dir():
        try:
            for folder, _, _ in os.walk(top, topdown=False):
                Path(folder).rmdir()
        except OSError:
            if time.monotonic() - begin > wait_s:
                raise
            time.sleep(0.1)


def can() -> str:
    """Say why no other engine can run on this machine; empty where one can."""
    return lacking(sys.platform, os.geteuid(), shutil.which) or refused()
