"""Add-ons: what runs on the cluster. What can be enabled is in catalog/, the machinery here."""
