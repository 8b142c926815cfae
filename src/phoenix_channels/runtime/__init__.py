"""Tasks, queues and time around the pure core: what turns events into calls of user code, and back."""
