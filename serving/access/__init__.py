"""Who reaches the pods: a load balancer and a network policy."""
