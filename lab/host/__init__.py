"""This machine: whether it can run a lab, how to fix it, and which networks and ports are free."""
