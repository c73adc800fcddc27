"""Rules over resources, as plain functions and as a CrossGuard pack."""
