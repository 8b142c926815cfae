"""Broadcasts: from a publisher to the subscribers of a topic, on this node and on others."""
