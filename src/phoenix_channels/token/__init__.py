"""Signed tokens, as Phoenix makes them and as it takes them.

Pure: no I/O, no clock, no randomness, no logging.  Whoever signs says what time it is.
"""
