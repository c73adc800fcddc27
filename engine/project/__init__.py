"""What a user writes: the project, the stack's config and secrets, the selected stack."""
