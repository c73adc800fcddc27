"""Settings, and the resources of each target except the model."""
