"""Helm, run on a master.

So it works the same on every host, also on Docker Desktop, where a lab's addresses cannot be
reached from outside. Program and chart are copied there; the kubeconfig is the administrator's, for
the master's own API server.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base.errors import CommandFailed, InputError, LabError
from lab.base.hashing import digest, folder_hash
from lab.engine.files import File
from lab.kube import kubeconfig
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Chart
    from lab.engine.node import NodeHandle
    from lab.nodes.distributions import HealthCheck

HOME = "/var/lib/halab/helm"
PROGRAM = f"{HOME}/helm"
PENDING = {"pending-install", "pending-upgrade", "pending-rollback", "uninstalling"}
"""States in which a killed Helm leaves a release (helm.sh/helm/v3/pkg/release, Status)."""
REPOSITORIES = {"prometheus-community": "https://prometheus-community.github.io/helm-charts"}
"""What `repository/name` means, as nobody runs `helm repo add`."""


def is_path(source: str) -> bool:
    """Whether a chart's source is a folder or archive on this machine."""
    return not source.startswith("oci://") and (
        source.startswith((".", "/", "~"))
        or source.endswith((".tgz", ".tar.gz"))
        or Path(source).exists()
    )


def check_source(source: str) -> None:
    """Raise InputError for what cannot be a chart's source."""
    if source.startswith("oci://"):
        return
    if is_path(source):
        path = Path(source).expanduser()
        if not path.exists() or (path.is_dir() and not (path / "Chart.yaml").is_file()):
            raise InputError(
                f"no chart at {source}",
                "a folder with Chart.yaml, or an archive that `helm package` or `helm pull` wrote",
            )
        return
    if source.partition("/")[0] not in REPOSITORIES:
        known = ", ".join(f"{name}/…" for name in REPOSITORIES)
        raise InputError(f"`{source}` is no chart", f"a path, oci://…, or one of: {known}")


def fingerprint(chart: Chart) -> str:
    """Hash a chart's source and values: the same hash if installing it would change nothing."""
    path = Path(chart.source).expanduser()
    content = chart.source
    if is_path(chart.source) and path.is_dir():
        content = folder_hash(path)
    elif is_path(chart.source):
        content = digest(base64.b64encode(path.read_bytes()).decode())
    return digest(f"{content} {json.dumps(chart.values, sort_keys=True)}")


@dataclass(slots=True)
class Helm:
    """Helm on one master."""

    site: AddonContext
    master: NodeHandle

    def lay_down(self, program: Path) -> None:
        """Copy the program there, once for each version, and a kubeconfig."""
        content = program.read_bytes()
        versioned = f"{HOME}/helm-{digest(f'{len(content)} {program.parent.name}')}"
        files = [
            File(path=f"{HOME}/config", content=self._kubeconfig(), mode=0o600),
            File(path=PROGRAM, link=versioned),
        ]
        if self.master.run(["test", "-x", versioned], check=False).code != 0:
            files.append(File(path=versioned, content=content, mode=0o755))
        self.master.run(["mkdir", "-p", HOME])
        self.master.put(files)

    def _kubeconfig(self) -> bytes:
        """Return a kubeconfig for the master's own API server, as JSON, which is YAML."""
        own = self.site.access.credentials
        server = f"https://127.0.0.1:{KUBERNETES_PORT}"
        return json.dumps(kubeconfig.build("lab", server, own.authority, own.admin)).encode()

    def run(self, *arguments: str, timeout_s: float = 60) -> str:
        """Run helm. Raises CommandFailed with what it printed."""
        environment = [f"KUBECONFIG={HOME}/config", f"HOME={HOME}", "HELM_MAX_HISTORY=3"]
        return self.master.run(
            ["env", *environment, PROGRAM, *arguments], timeout_s=timeout_s
        ).output

    def state(self, chart: Chart) -> str:
        """Return the state of the chart's release, as Helm names it; empty if there is none."""
        try:
            release: dict[str, Any] = json.loads(
                self.run("status", chart.release, "-n", chart.namespace, "-o", "json")
            )
        except CommandFailed as error:
            if "not found" in error.output:
                return ""
            raise
        return str(release["info"]["status"])

    def install(self, chart: Chart, timeout_s: float) -> None:
        """Install or upgrade. What a killed Helm left half done is repaired first.

        Does not wait for pods. Raises CommandFailed.
        """
        self.repair(chart)
        source = self._bring(chart)
        values = f"{HOME}/{chart.release}.values.json"
        self.master.put([File(path=values, content=json.dumps(chart.values).encode(), mode=0o600)])
        where = ["-n", chart.namespace, "--create-namespace", "-f", values]
        self.run(
            "upgrade",
            "--install",
            chart.release,
            *source,
            *where,
            "--timeout",
            f"{timeout_s:.0f}s",
            timeout_s=timeout_s + 10,
        )

    def repair(self, chart: Chart) -> str:
        """Take a release out of a state from which Helm itself refuses to continue.

        Return the state in which it was.
        """
        state = self.state(chart)
        if state in {"pending-install", "uninstalling"}:
            self.run(
                "uninstall",
                chart.release,
                "-n",
                chart.namespace,
                "--no-hooks",
                "--ignore-not-found",
            )
        elif state in PENDING:
            self.run("rollback", chart.release, "-n", chart.namespace, "--no-hooks")
        return state

    def uninstall(self, chart: Chart) -> None:
        """Remove the release, if there is one, and its objects."""
        self.run(
            "uninstall", chart.release, "-n", chart.namespace, "--ignore-not-found", timeout_s=120
        )

    def _bring(self, chart: Chart) -> list[str]:
        """Return Helm's arguments for the chart; copy it first if it is on this machine."""
        if chart.source.startswith("oci://"):
            return [chart.source]
        if not is_path(chart.source):
            repository, _, name = chart.source.partition("/")
            return [name, "--repo", REPOSITORIES[repository]]
        path = Path(chart.source).expanduser()
        place = f"{HOME}/{chart.release}.tgz"
        self.master.put(
            [File(path=place, content=path.read_bytes() if path.is_file() else packed(path))]
        )
        return [place]


def packed(folder: Path) -> bytes:
    """Pack a chart's folder as `helm package` does: everything below one folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, f"{folder.resolve().name}/{path.relative_to(folder)}")
    return buffer.getvalue()


def _ready(health: HealthCheck) -> list[str]:
    """Return the command that asks a master for its own health, as its resource agent does."""
    certificates = ["--cacert", health.ca, "--cert", health.certificate, "--key", health.key]
    return ["curl", "-sf", "-o", "/dev/null", "--max-time", "2", *certificates, health.url]


def on_a_master(site: AddonContext) -> Helm:
    """Return Helm on the first master whose own API server answers.

    Raises LabError if none does.
    """
    for node in site.topology.masters:
        master = site.node(node.name)
        with contextlib.suppress(LabError):
            if master.run(_ready(site.distribution.health), check=False, timeout_s=5).code == 0:
                return Helm(site, master)
    raise LabError(
        "no master's API server answers: Helm cannot run",
        f"`halab status {site.topology.name}` shows the masters",
    )
