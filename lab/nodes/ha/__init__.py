"""High availability on the nodes: quorum, floating address, fencing and load balancer."""
