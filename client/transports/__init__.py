"""Transports to the web service or to a model server, load balancing, and their metrics."""
