"""Shows what a stack would create, without a cloud or an engine."""
