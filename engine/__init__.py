"""An embedded Pulumi deployment engine for stacks of components and Python dynamic providers.

It reads and writes the files of the official CLI (project, stack config, file backend, checkpoint,
passphrase secrets), so either engine can continue from the other's state. See README.md.
"""
