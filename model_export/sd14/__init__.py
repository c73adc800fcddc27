"""Stable Diffusion 1.4: keras_cv's full-size networks, and where their weights come from."""
