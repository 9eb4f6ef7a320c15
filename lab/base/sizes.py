"""Amounts of memory and disk, as people write them."""

MIB = 1024**2
GIB = 1024 * MIB
MEGABYTE = 10**6


def spell(amount: int) -> str:
    """Return bytes as a person would write them: 768 MiB, 1.5 GiB."""
    if amount < GIB:
        return f"{amount / MIB:.0f} MiB"
    return f"{round(amount / GIB, 2):g} GiB"
