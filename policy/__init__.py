"""Policy rules for resources, as plain functions and as a CrossGuard pack."""
