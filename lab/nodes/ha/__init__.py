"""High availability on the nodes: the quorum, the floating address, fencing, the load balancer."""
