"""Jobs: what people asked for, in a bounded queue, drawn one at a time on each model server."""
