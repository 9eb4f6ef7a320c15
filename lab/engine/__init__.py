"""The container engine: the only door to Docker.

Whatever it makes bears a label of halab; whatever it removes must bear one. privileges.py explains
each privilege that a container gets.
"""
