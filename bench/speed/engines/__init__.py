"""One module for each engine: `load(contender, folder, image_size)` returns `draw(num_steps)`.

`draw` takes a prompt all the way to a picture, and returns when it is done.
"""
