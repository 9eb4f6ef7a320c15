"""Kubernetes as seen from the host: its API, its certificates, and kubeconfigs for it."""
