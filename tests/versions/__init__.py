"""Runs the package on many releases of LiteLLM, Pythons and transports, and writes what it saw.

``python -m tests.versions`` makes ``docs/compatibility.md``.
"""
