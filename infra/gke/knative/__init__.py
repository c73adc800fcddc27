"""Knative on the cluster: its operator, what that installs, and the way in from outside."""
