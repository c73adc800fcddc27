"""The pod of a model server: its containers and volumes."""
