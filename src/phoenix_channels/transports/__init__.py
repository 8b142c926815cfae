"""Where clients come in: mounts and their options, the handshake, and the bindings to servers."""
