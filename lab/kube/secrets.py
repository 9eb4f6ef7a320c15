"""A lab's secrets as values. `pki` makes them.

`pki` is imported only where a certificate is issued: its library takes a tenth of a second to
import, and most commands issue none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate, both in PEM."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """All secrets of a lab."""

    files: dict[str, bytes]
    """File name → content: `<authority>.crt` and `.key`, `sa.key` and `.pub`, `admin.crt` and
    `.key`, `token`, `agent-token`, `corosync.authkey`."""

    def authority(self, name: str) -> Pair:
        """Return an authority: one of pki.AUTHORITIES. Raises KeyError for another name."""
        return Pair(self.files[f"{name}.key"], self.files[f"{name}.crt"])

    def text(self, name: str) -> str:
        """Return a secret that is text: a token, or PEM."""
        return self.files[name].decode()

    @property
    def complete(self) -> bool:
        """Whether every secret is there; otherwise their volume must be filled anew."""
        return all(
            name in self.files for name in ("corosync.authkey", "admin.crt", "token", "agent-token")
        )
