"""The web service's image: a layer on a base image, made and pushed without Docker."""
