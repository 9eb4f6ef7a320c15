"""Which distribution a lab gets: the first available one of its list, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import ImageError, InputError, LabError, Unreached
from lab.images.sources import COMMON_IMAGES
from lab.nodes import distributions

if TYPE_CHECKING:
    from lab.images.builder import Builder
    from lab.nodes.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Choice:
    """The distribution, and a sentence for each one that was preferred but is not available."""

    distribution: Distribution
    why_not: tuple[str, ...]


def settled(name: str) -> Choice:
    """Return the distribution of a lab whose containers are all there.

    Nothing is built for it, even if its image is gone.
    """
    return Choice(distributions.find(name), ())


def likely(preferred: tuple[str, ...], builder: Builder, forced: str = "") -> Distribution:
    """Return the one that `choose` would try first; builds nothing.

    Raises InputError for an unknown name.
    """
    names = _names(preferred, forced)
    built = [name for name in names if not builder.missing(*COMMON_IMAGES, name)]
    return distributions.find((built or list(names))[0])


def _names(preferred: tuple[str, ...], forced: str) -> tuple[str, ...]:
    if forced and forced not in distributions.names():
        raise InputError(
            f"no distribution `{forced}`", f"known: {', '.join(distributions.names())}"
        )
    return (forced,) if forced else preferred


def choose(preferred: tuple[str, ...], builder: Builder, forced: str = "") -> Choice:
    """Choose a distribution, and build its images.

    One whose image is built already wins over one that would have to be downloaded first.

    Raises InputError for an unknown name, ImageError if none is available, any LabError if one is
    available but could not be built.
    """
    names = _names(preferred, forced)
    built = [name for name in names if not builder.missing(*COMMON_IMAGES, name)]
    why_not: list[str] = []
    if built:
        skipped = names[: names.index(built[0])]
        why_not = [
            f"{name}: its image is not built here (`halab images build --distribution {name}`)"
            for name in skipped
        ]
        return Choice(distributions.find(built[0]), tuple(why_not))
    for name in names:
        try:
            builder.build(name)
        except Unreached as error:
            if name == names[-1]:
                raise
            why_not.append(f"{name}: {error.message.splitlines()[0]}")
            builder.reporter.done(name, f"is not available: {error.message.splitlines()[0]}")
        except LabError as error:
            # It is available, but building it failed (a broken download, a wrong checksum or
            # program, a full disk): whoever prefers it does not want another one silently.
            if others := names[names.index(name) + 1 :]:
                error.hint += f"{'; ' if error.hint else ''}or take `--distribution {others[0]}`"
            raise
        else:
            return Choice(distributions.find(name), tuple(why_not))
    raise ImageError("no distribution is available")
