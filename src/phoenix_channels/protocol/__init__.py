"""The sans-IO core: the wire format and the rules of one connection.

Pure: no I/O, no clock, no randomness, no tasks, no logging.  ``README.md`` beside this file has the model in a page.
"""
