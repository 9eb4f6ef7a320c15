"""Faults: things broken on purpose, verified, and healed. All of them are in faults/."""
