"""A picture as a PNG file that also holds the values that made it."""
