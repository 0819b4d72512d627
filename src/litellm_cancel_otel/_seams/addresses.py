"""Where a request goes, as the span says it: host and port, and nothing of the path."""

import sys
from typing import Any
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def address_of(url: Any) -> tuple[str | None, int | None]:
    """Return host and port of an HTTP library's URL, None for what it does not say."""
    host = getattr(url, "host", None)
    port = getattr(url, "port", None)
    if port is None:
        port = _PORTS.get(getattr(url, "scheme", ""))
    # One text for all calls to a host: httpx makes a new one for each request.
    return (sys.intern(host) if type(host) is str and host else None), port


def address_in(text: str) -> tuple[str | None, int | None]:
    """Return the same of a URL that is text, or of what only its text is known."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # no URL: who asks for it says so
        return None, None
    return parts.hostname, port or _PORTS.get(parts.scheme)
