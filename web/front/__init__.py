"""A front's side of its workers: each job is drawn by one of them, as one streaming request."""
