"""Shared by the tests: clients without a network, and ways to wait for what happens on an event loop."""
