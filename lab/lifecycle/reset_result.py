"""What `halab reset` did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.kube.inventory import ObjectKey, StoredObject


@dataclass(slots=True)
class ResetResult:
    """What a reset did, or would do."""

    lab: str
    healed: list[str] = field(default_factory=list)
    """`hang at m`, for each fault."""
    powered_on: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    """Add-ons that were enabled since."""
    removed: list[ObjectKey] = field(default_factory=list)
    """Without what is in namespaces that go."""
    contents: dict[str, int] = field(default_factory=dict)
    """Namespace that goes → how many objects it had."""
    restored: list[ObjectKey] = field(default_factory=list)
    """What was changed or removed since, and is put back."""
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        done = (self.healed, self.powered_on, self.disabled, self.removed, self.restored)
        return any(done)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "lab": self.lab,
            "changed": self.changed,
            "healed": self.healed,
            "powered_on": self.powered_on,
            "disabled": self.disabled,
            "removed": [self._row(key) for key in self.removed],
            "restored": [key._asdict() for key in self.restored],
            "seconds": round(self.seconds, 3),
        }

    def _row(self, key: ObjectKey) -> dict[str, Any]:
        inside = self.contents.get(key.name) if key.resource == "namespaces" else None
        return key._asdict() if inside is None else {**key._asdict(), "contents": inside}

    def note(self, surplus: tuple[StoredObject, ...]) -> None:
        """Remember what goes."""
        spaces = {row.key.name for row in surplus if row.type.name == "namespaces"}
        uids = {row.uid for row in surplus}
        for row in surplus:
            if row.key.namespace in spaces:
                name = row.key.namespace
                self.contents[name] = self.contents.get(name, 0) + 1
            elif row.key not in self.removed and not uids.intersection(row.owners):
                self.removed.append(row.key)
