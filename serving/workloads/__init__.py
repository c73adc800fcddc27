"""What runs the pods, and how many: a Deployment with its autoscaler."""
