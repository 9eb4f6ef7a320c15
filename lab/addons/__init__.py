"""Add-ons: what runs on the cluster. The machinery is here, what can be enabled is in catalog/."""
