"""From a request's arrays to the model's: batching parameters, the queue, and its worker."""
