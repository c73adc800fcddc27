"""Stable Diffusion checkpoints that others made: which tensor is where, and what is refused."""
