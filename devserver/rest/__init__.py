"""TF Serving's REST API: HTTP over sockets, JSON, and what each path answers."""
