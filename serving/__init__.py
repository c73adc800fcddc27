"""Kubernetes resources of the GKE target as components; `ModelService` is their sum."""
