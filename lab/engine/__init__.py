"""The container engine: the only door to Docker.

Everything it makes bears the lab's label, everything it removes must.
Each privilege that a container gets is explained in privileges.py.
"""
