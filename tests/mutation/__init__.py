"""Plants faults in the core and says how many of them the tests find: ``python -m tests.mutation``.

The tool is mutmut; what it changes and which tests it runs stands in pyproject.toml.
"""
