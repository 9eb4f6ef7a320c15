"""What a node is made of: its role, its distribution, its part in the cluster's high availability."""
