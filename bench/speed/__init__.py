"""How fast Stable Diffusion draws on this machine, against named opponents, in one run."""
