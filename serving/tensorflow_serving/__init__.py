"""TensorFlow Serving itself: its image, flags, config files, probes, start and stop."""
