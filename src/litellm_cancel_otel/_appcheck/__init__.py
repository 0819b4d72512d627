"""Checks the user's application on loopback: clients leave its routes, and the ends are timed."""
