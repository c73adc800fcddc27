"""The tiny decoder: TAESD's, which draws a picture from a latent for a fraction of the work."""
