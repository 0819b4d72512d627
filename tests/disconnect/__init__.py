"""The disconnect matrix: every way in which a client goes away, on real servers and sockets."""
