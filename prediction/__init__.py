"""What a caller says to a model server, and what its answers mean: requests, limits, failures.

For every caller, the command line as well as the web service.
"""
