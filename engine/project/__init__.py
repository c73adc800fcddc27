"""The project, the stack's config and secrets, and the selected stack."""
