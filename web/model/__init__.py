"""The model servers: which are ready, what they serve, how many steps to ask for at a time."""
