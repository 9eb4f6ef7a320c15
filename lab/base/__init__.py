"""What everything else stands on: errors, paths, locks, waiting, reading YAML.

It knows nothing of labs.
"""
