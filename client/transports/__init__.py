"""Transports to a model server: REST, gRPC, load balancing, and the server's metrics."""
