"""The package beside other instrumentations of LiteLLM: each pair in a process of its own.

``python -m neighbours NAME before|after theirs|ours`` lets the neighbour come before or after
CancelTelemetry, makes calls, lets one of the two leave first, and prints what each has seen.
"""
