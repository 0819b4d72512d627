"""What of the OTEL_* variables must not be shown is left out of every text that is."""

import os
import re
from typing import Final
from urllib.parse import unquote, urlsplit


def told(exc: Exception) -> str:
    """Return an exception as it may be shown."""
    return without_secrets(f"{type(exc).__name__}: {exc}")


HIDDEN: Final = "(hidden)"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_URL: Final = re.compile(_SCHEME.pattern + r"""[^\s'"<>]*[^\s'"<>.,;:)\]}]""")


def without_secrets(text: str) -> str:
    """Return a text as it may be shown: no password, query or header that a variable holds."""
    text = _URL.sub(lambda found: shown_address(found[0]), text)
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def shown_address(address: str) -> str:
    """Return an endpoint's scheme, host, port and path, which is all of it that may be shown."""
    scheme, rest = _divided(address)
    try:
        url = urlsplit(f"//{rest}")
        port = "" if url.port is None else f":{url.port}"
    except ValueError:  # no port, or no address: then who knows where the password ends
        return f"{scheme}{HIDDEN}"
    host = url.hostname or ""
    if "@" in url.path or (host == "" and rest) or (url.username is None and "@" in rest):
        return f"{scheme}{HIDDEN}"  # a password with a character that ends the host
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}{host}{port}{url.path}"


def _divided(address: str) -> tuple[str, str]:
    scheme = _SCHEME.match(address)
    return (scheme[0], address[scheme.end() :]) if scheme else ("", address)


def _secrets() -> set[str]:
    """Return what of the OTEL_* variables must not be shown, as it stands there and decoded."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if not name.startswith("OTEL_"):
            continue
        if name.endswith("HEADERS"):
            pairs = (pair.partition("=") for pair in value.split(","))
            found |= {value, *(text for _, _, text in pairs)}
        elif "ENDPOINT" in name:
            _, rest = _divided(value.strip())
            user, _, password = rest.rpartition("@")[0].partition(":")
            query = rest.partition("?")[2]
            found |= {f"{user}:{password}" if password else user, password, query}
            found |= {pair.partition("=")[2] for pair in query.split("&")}
    found |= {unquote(secret) for secret in found}
    return {secret.strip() for secret in found if len(secret.strip()) >= _LEAST}


_LEAST: Final = 4
"""Shorter ones are not looked for: they would be found in every other word."""
