"""Faults: broken on purpose, proven to act, and healed. What there is, is in faults/."""
