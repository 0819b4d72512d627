"""Runs the core's tests in other environments beside this one: other Pythons, the oldest LiteLLM.

Each environment is made where it is not there, by a process of its own: ``python -m elsewhere``.
"""
