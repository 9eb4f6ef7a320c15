"""What a node is made of: its role, its distribution and its part in high availability."""
