"""What the program declares beside the model: settings, and the resources of each target."""
