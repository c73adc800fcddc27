"""The Google Cloud resources of the GKE target as components."""
