"""The container engine: the only door to Docker.

Whatever it makes has a label of halab; whatever it removes must have one. privileges.py explains
each privilege that a container gets.
"""
