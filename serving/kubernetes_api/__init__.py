"""A reader of Kubernetes objects over the API server's REST API, for the waiting of an update."""
