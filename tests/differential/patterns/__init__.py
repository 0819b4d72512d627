"""The applications, by what they are about."""
