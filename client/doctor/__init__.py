"""`doctor`: checks on a stack and its service, each with what to do."""
