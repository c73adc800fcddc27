"""The ways to a model server: REST, gRPC, several servers as one, and its metrics."""
