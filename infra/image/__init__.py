"""The web service's image as Pulumi resources."""
