"""Which versions of each distribution are available here and now, and from where.

It builds nothing and downloads nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import requests

from lab.images import components, go_build, go_modules, k3s_release
from lab.images.sources import table, tags, wish
from lab.topology import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.images.sources import Sources
    from lab.images.versions import Component

TIMEOUT_S = 3.0
"""For one answer: somebody waits for the list, and a reachable server answers within a second."""
GO_TIMEOUT_S = 10.0
"""`go` asks its proxies one after the other."""
K3S_CHANNELS = "https://update.k3s.io/v1-release/channels"
"""K3s's channel server: every channel, and the version that it names (docs.k3s.io,
upgrades/manual)."""
UPSTREAM_CHANNELS = "https://dl.k8s.io/release/{channel}.txt"
"""Kubernetes' release server: `stable`, and `stable-1.35` for a minor release."""
AHEAD = 3
"""How many minor releases after the table's are looked for: one year's."""
KEYS = {"k3s": "kubernetes.k3s", "upstream": "kubernetes.version"}
"""The key by which a topology names a distribution's version."""
WHY = {
    "k3s": "a version of K3s's channel `stable`, which K3s's own installer takes, too",
    "upstream": "the version that halab's tests run on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A version of a distribution."""

    version: str
    default: bool
    way: str
    """Where it comes from: `image` (built already), `cache`, `download` or `build`.

    Empty if it is not available.
    """
    channels: tuple[str, ...] = ()
    """The publisher's channels that name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A distribution's versions."""

    distribution: str
    key: str
    """The topology's key that names its version."""
    default: str
    reason: str
    """Why the default is the default."""
    asked: bool
    """Whether its channels answered."""
    versions: tuple[Offer, ...]
    """The newest first, the default among them."""


def look(sources: Sources, here: Callable[[str], bool]) -> tuple[Shelf, ...]:
    """Return the versions of every distribution.

    `here` says whether the engine has an image of a tag.
    """
    with ThreadPoolExecutor(16) as pool:
        k3s = pool.submit(_k3s, sources, here)
        return k3s.result(), _upstream(sources, here, pool)


def _k3s(sources: Sources, here: Callable[[str], bool]) -> Shelf:
    row = table(sources).components["k3s"]
    named = k3s_channels(_get(K3S_CHANNELS))
    files = (sources.cache / "download").glob("k3s-v*/k3s*")
    kept = {path.parent.name.removeprefix("k3s-") for path in files if path.suffix != ".lock"}
    reached = _answers(k3s_release.binary(row.version, sources.arch).url)

    def way(version: str) -> str:
        if here(_tag(sources, "k3s", version)):
            return "image"
        if version in kept:
            return "cache"
        return "download" if reached else ""

    return _shelf("k3s", row.version, named, kept, way)


def _upstream(sources: Sources, here: Callable[[str], bool], pool: ThreadPoolExecutor) -> Shelf:
    row = table(sources).components["kubernetes"]
    first, last = releases.OLDEST["upstream"][1], releases.minor(row.version)[1] + AHEAD
    channels = ["stable", *(f"stable-1.{minor}" for minor in range(first, last + 1))]
    texts = pool.map(_get, [UPSTREAM_CHANNELS.format(channel=channel) for channel in channels])
    urls = [row.address(each, each.url, sources.arch, each.binaries[0]) for each in row.published]
    files = pool.map(_answers, urls)
    built = pool.submit(_module, row)
    named = {name: text.strip() for name, text in zip(channels, texts, strict=True) if text}
    reached = all(list(files))
    homes = _homes(row, sources)

    def way(version: str) -> str:
        if here(_tag(sources, "upstream", version)):
            return "image"
        if version in homes:
            return "cache"
        if reached:
            return "download"
        return "build" if releases.minor(version) >= go_modules.OLDEST and built.result() else ""

    return _shelf("upstream", row.version, named, homes, way)


def _shelf(
    distribution: str,
    default: str,
    named: dict[str, str],
    kept: Iterable[str],
    way: Callable[[str], str],
) -> Shelf:
    pattern = {"k3s": releases.K3S, "upstream": releases.UPSTREAM}[distribution]
    usable = {
        version
        for version in chain(named.values(), kept)
        if re.fullmatch(pattern, version) and not releases.too_old(distribution, version)
    }
    offers = tuple(
        Offer(
            version=version,
            default=version == default,
            way=way(version),
            channels=tuple(name for name, latest in named.items() if latest == version),
        )
        for version in sorted({default, *usable}, key=_order, reverse=True)
    )
    return Shelf(
        distribution=distribution,
        key=KEYS[distribution],
        default=default,
        reason=WHY[distribution],
        asked=bool(named),
        versions=offers,
    )


def _order(version: str) -> tuple[tuple[int, int, int], bool, str]:
    """Return the key to sort by: numbers; a release candidate comes before its release."""
    return releases.patch(version), "-" not in version, version


def _tag(sources: Sources, image: str, version: str) -> str:
    return tags(replace(sources, wished=wish(image, version)))[image]


def _homes(row: Component, sources: Sources) -> set[str]:
    """Return the versions of upstream that the cache has complete."""
    home = components.home_of(row, sources.cache, sources.folder, sources.arch)
    before, after = home.name.split(row.version)
    homes = home.parent.glob(f"{before}v*{after}")
    return {
        path.name.removeprefix(before).removesuffix(after)
        for path in homes
        if components.origin(path)
    }


def k3s_channels(text: str) -> dict[str, str]:
    """Read the channel server's answer: channel → version.

    Only `stable`, `latest` and those of minor releases are kept. Any other text has no channels.
    """
    with suppress(ValueError, TypeError, KeyError):
        rows: list[dict[str, Any]] = json.loads(text)["data"]
        named = {str(row["name"]): str(row.get("latest") or "") for row in rows}
        return {
            name: version
            for name, version in named.items()
            if version and re.fullmatch(r"stable|latest|v1\.\d+", name)
        }
    return {}


def _module(row: Component) -> bool:
    """Whether Go finds the module. Without Go it is not asked: halab would install that first."""
    go = go_build.go_here()
    if go is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        argv = [go, "list", "-m", f"{row.pins}@{row.version}"]
        with suppress(subprocess.TimeoutExpired):
            result = subprocess.run(
                argv, cwd=folder, capture_output=True, check=False, timeout=GO_TIMEOUT_S
            )
            return result.returncode == 0
    return False


def _get(url: str) -> str:
    """Return a small text; empty if it is not available."""
    try:
        answer = requests.get(url, timeout=TIMEOUT_S)
    except requests.RequestException:
        return ""
    return answer.text if answer.ok else ""


def _answers(url: str) -> bool:
    """Whether a file is available. It is asked for only once, since somebody waits."""
    return components.ask(url, TIMEOUT_S) in components.AVAILABLE
