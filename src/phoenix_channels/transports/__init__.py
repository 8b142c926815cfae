"""Bindings to servers: each translates between one server's interface and the driver, and does nothing else."""
