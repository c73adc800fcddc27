"""Kubernetes resources of the GKE target as components: model server, exposure, autoscaling."""
