"""Endings made into spans and metrics, and where these go."""
