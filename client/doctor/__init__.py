"""`doctor`: checks of a stack and its service, each with what to do."""
