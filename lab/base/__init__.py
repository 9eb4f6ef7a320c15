"""What everything else builds on: errors, names, paths, locks, waiting, reading YAML.

Nothing here imports another package of halab.
"""
