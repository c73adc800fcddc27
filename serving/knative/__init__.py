"""The service where Knative runs the pods: a front that is always there, and workers by request."""
