"""halab: a high-availability Kubernetes lab in containers."""

__version__ = "0.1.0"
