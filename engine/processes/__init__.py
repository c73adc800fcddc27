"""The child processes, program and dynamic provider, and the gRPC between them and the engine."""
