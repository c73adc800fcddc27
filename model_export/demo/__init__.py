"""The demo family: Stable Diffusion in miniature, trained on pictures this project draws."""
