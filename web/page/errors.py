"""What is wrong with the page's sources."""


class PageError(Exception):
    """One sentence: which source breaks which rule."""
