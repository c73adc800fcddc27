"""What a stack would create, found out without a cloud and without an engine."""
