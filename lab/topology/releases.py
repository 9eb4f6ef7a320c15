"""Versions of Kubernetes and K3s that a topology may name, and the oldest that halab works with.

Pure functions of a version's text, as the distribution itself prints it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.topology.values import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.yaml_files import Value

_NUMBERS = r"v(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})"
UPSTREAM = rf"^{_NUMBERS}(-(alpha|beta|rc)\.[0-9]{{1,3}})?$"
"""A tag of kubernetes/kubernetes: `v1.35.4`, `v1.37.0-rc.1`."""
K3S = rf"^{_NUMBERS}(-rc[0-9]{{1,3}})?\+k3s[0-9]{{1,3}}$"
"""A tag of k3s-io/k3s: `v1.34.3+k3s1`, `v1.36.5-rc2+k3s1`."""
EXAMPLES = {"upstream": "v1.35.4", "k3s": "v1.34.3+k3s1"}
OLDEST = {"upstream": (1, 31), "k3s": (1, 32)}
"""The first minor release of each distribution that understands everything that halab writes.

Upstream 1.31: kubelet's `failCgroupV1` (KEP-4569); an older kubelet refuses its file. The rest is
older: `containerRuntimeEndpoint` in that file (1.27), CRI v1, the only one that containerd 2 speaks
(1.26), the flags of lab/nodes/distributions/upstream/units.py (1.20), and the objects' APIs
(`policy/v1`, 1.21).

K3s 1.32: the first that reads kubelet.conf.d (lab/nodes/distributions/k3s/__init__.py). Older ones
start, but those before 1.31 end again and again: their kubelet does not know the flag
`fail-cgroupv1`. etcd 3.5 (K3s before 1.34) ignores `max-learners`
(lab/nodes/distributions/k3s/config.py).
"""


def minor(version: str) -> tuple[int, int]:
    """Return the minor release: (1, 34) for `v1.34.3+k3s1`. Raise ValueError for other text."""
    match = re.match(r"v(\d+)\.(\d+)(\D|$)", version)
    if match is None:
        raise ValueError(f"`{version}` is no version")
    return int(match[1]), int(match[2])


def patch(version: str) -> tuple[int, int, int]:
    """Return major, minor and patch release. Raise ValueError if they are not all there."""
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        raise ValueError(f"`{version}` is not a version of three numbers")
    return int(match[1]), int(match[2]), int(match[3])


def too_old(distribution: str, version: str) -> bool:
    """Whether halab cannot work with a release; False for text that is not a version."""
    try:
        return minor(version) < OLDEST[distribution]
    except ValueError:
        return False


def oldest(distribution: str) -> str:
    """Return the oldest minor release that halab works with, as people write it: `v1.32`."""
    return "v" + ".".join(map(str, OLDEST[distribution]))


def release(distribution: str) -> Callable[[Value], str]:
    """Return a parser for a key that names a version of this distribution, as `check` allows."""

    def parse(value: Value) -> str:
        version = text(value)
        check(distribution, version)
        return version

    return parse


def check(distribution: str, version: str) -> None:
    """Raise WrongError if a text is not a version of the distribution, or one that is too old."""
    pattern, example = {"upstream": UPSTREAM, "k3s": K3S}[distribution], EXAMPLES[distribution]
    if not re.fullmatch(pattern, version):
        what = "Kubernetes" if distribution == "upstream" else "K3s"
        raise WrongError(
            f"is `{shown(version)}`, not a version of {what}", _meant(version, example)
        )
    if too_old(distribution, version):
        raise WrongError(f"is {version}, which is too old", f"{oldest(distribution)} is the oldest")


def _meant(version: str, example: str) -> str:
    """Return a hint on what is missing: a `v`, the patch release, `+k3s1`."""
    here = "`halab versions` lists what can be had here"
    match = re.fullmatch(r"v?(\d{1,3}\.\d{1,3}\.\d{1,3})(\+k3s\d{1,3})?", version)
    if not match:
        return f"for example {example}; {here}"
    suffix = (match[2] or "+k3s1") if "+" in example else ""
    return f"did you mean v{match[1]}{suffix}? {here}"
