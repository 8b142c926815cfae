"""Mentions and approvals in real time: FastAPI, SQLite and ``phoenix_channels``."""
