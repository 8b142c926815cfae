"""One socket in six servers: in three frameworks, beside a fourth, and on the servers of ``websockets``."""
