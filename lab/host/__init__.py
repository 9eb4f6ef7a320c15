"""This machine: whether it can run a lab, what can be done about it, and which networks and ports are free."""
