"""What a stack remembers: the file backend, its locks, snapshots and checkpoints."""
