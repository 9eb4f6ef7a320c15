"""How a K3s release is laid out: names of assets, addresses, checksum files.

Source: K3s's scripts/validate-artifacts and its release workflow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lab.topology import releases

MIRROR = "INSTALL_K3S_ARTIFACT_URL"
"""The environment variable that tells K3s's own installer of a mirror of its releases; it means the
same here."""
DOWNLOADS = "https://github.com/k3s-io/k3s/releases/download"


@dataclass(frozen=True, slots=True)
class Asset:
    """A published file."""

    name: str
    """As in the checksum file."""
    url: str
    sha256_url: str
    """Where the checksum file is."""
    folder: str
    """A folder's name for its release in the cache."""


def binary(version: str, arch: str) -> Asset:
    """Return the binary's asset for amd64 or arm64.

    In the address, the tag's `+` is %2B, as in K3s's install.sh.
    """
    return _asset(version, arch, "k3s" if arch == "amd64" else f"k3s-{arch}")


def images(version: str, arch: str) -> Asset:
    """Return the asset with the packaged components' images (K3s's "air-gap" archive)."""
    return _asset(version, arch, f"k3s-airgap-images-{arch}.tar.zst")


def _asset(version: str, arch: str, name: str) -> Asset:
    folder = f"{os.environ.get(MIRROR, DOWNLOADS).rstrip('/')}/{version.replace('+', '%2B')}"
    return Asset(name, f"{folder}/{name}", f"{folder}/sha256sum-{arch}.txt", f"k3s-{version}")


DROP_INS = {(1, 34): 6, (1, 35): 3}
"""Minor release → its first patch whose containerd reads config-v3.toml.d; from 1.36 on all do.

K3s's templates import that folder since March 2026 (b51167a, backported to 1.34 and 1.35).
"""


def reads_drop_ins(version: str) -> bool:
    """Whether a release's containerd reads halab's settings; True for what is no version."""
    try:
        major, minor, patch = releases.patch(version)
    except ValueError:
        return True
    return (major, minor) >= (1, 36) or patch >= DROP_INS.get((major, minor), patch + 1)


def tag(line: str) -> str:
    """Return the release in a line of `k3s --version`: `k3s version v1.36.5+k3s1 (1a2b3c4d)`."""
    return line.split()[2]
