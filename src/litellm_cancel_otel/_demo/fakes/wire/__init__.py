"""The wire formats, one module each: pure functions from a call to the bytes that answer it."""
