"""``litellm-cancel-otel top``: the open streams of running processes, in the terminal."""
