"""Settings, and the resources of each place to serve: GKE, or this machine."""
