"""TF Serving's gRPC API: its services, and TensorProtos."""
