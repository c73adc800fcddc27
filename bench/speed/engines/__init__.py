"""One module for each way to draw: `load(contender, folder, image_size)` gives `draw(num_steps)`.

`draw` takes a prompt all the way to a picture, and returns when it is done.
"""
