"""The rules of `policy.rules` as a CrossGuard pack."""
