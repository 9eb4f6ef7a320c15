"""Versions of Kubernetes and K3s as a topology may wish them, and since which one halab can work.

Pure: what a version can do is asked here, of the text that the distribution itself says.
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
"""The first minor release of each distribution that knows all that halab writes.

Upstream 1.31: kubelet's `failCgroupV1` (KEP-4569); without it kubelet does not take its file. All
else is older: `containerRuntimeEndpoint` in that file (1.27), CRI v1, which containerd 2 speaks
alone (1.26), the flags of lab/nodes/distributions/upstream/units.py (1.20), and the objects' APIs
(`policy/v1`, 1.21). K3s 1.32: it is the first that reads kubelet.conf.d
(lab/nodes/distributions/k3s/__init__.py). Older ones start, and before 1.31 end again and again:
their kubelet does not know the flag `fail-cgroupv1`. etcd 3.5 (K3s before 1.34) overlooks `max-
learners` (lab/nodes/distributions/k3s/config.py).
"""


def minor(version: str) -> tuple[int, int]:
    """Return the minor release: (1, 34) of `v1.34.3+k3s1`. Raise ValueError for no version."""
    found = re.match(r"v(\d+)\.(\d+)(\D|$)", version)
    if found is None:
        raise ValueError(f"`{version}` is no version")
    return int(found[1]), int(found[2])


def patch(version: str) -> tuple[int, int, int]:
    """Return major, minor and patch release. Raise ValueError for no version of three numbers."""
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"`{version}` is no version of three numbers")
    return int(found[1]), int(found[2]), int(found[3])


def too_old(distribution: str, version: str) -> bool:
    """Whether a release does not know what halab writes; of what is no version: no."""
    try:
        return minor(version) < OLDEST[distribution]
    except ValueError:
        return False


def oldest(distribution: str) -> str:
    """Return the oldest minor release as people write it: `v1.32`."""
    return "v" + ".".join(map(str, OLDEST[distribution]))


def release(distribution: str) -> Callable[[Value], str]:
    """Take a version of a distribution that halab can work with."""

    def parse(value: Value) -> str:
        word = text(value)
        check(distribution, word)
        return word

    return parse


def check(distribution: str, word: str) -> None:
    """Raise WrongError for what is no version of a distribution, or is too old for halab."""
    pattern, example = {"upstream": UPSTREAM, "k3s": K3S}[distribution], EXAMPLES[distribution]
    if not re.fullmatch(pattern, word):
        what = "Kubernetes" if distribution == "upstream" else "K3s"
        raise WrongError(f"is `{shown(word)}`, not a version of {what}", _meant(word, example))
    if too_old(distribution, word):
        raise WrongError(f"is {word}, which is too old", f"{oldest(distribution)} is the oldest")


def _meant(word: str, example: str) -> str:
    """Say what is missing: a `v`, the patch release, `+k3s1`."""
    here = "`halab versions` lists what can be had here"
    found = re.fullmatch(r"v?(\d{1,3}\.\d{1,3}\.\d{1,3})(\+k3s\d{1,3})?", word)
    if not found:
        return f"for example {example}; {here}"
    suffix = (found[2] or "+k3s1") if "+" in example else ""
    return f"did you mean v{found[1]}{suffix}? {here}"
