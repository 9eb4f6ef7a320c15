"""Kubernetes as seen from the host: its API, its certificates, the kubeconfig that points at it."""
