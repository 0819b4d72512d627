"""Seeded random calls, each with a fate of its own; after each batch the books are balanced.

``python -m tests.campaign --help`` tells how to run it.
"""
