"""The code of the guides in ``docs/howto``."""
