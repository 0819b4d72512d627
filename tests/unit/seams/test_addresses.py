"""Host and port of whatever stands for a URL; nothing that is none raises."""

import httpx
import pytest

from litellm_cancel_otel._seams.addresses import address_in, address_of

CASES = [
    ("https://example.org/v1?key=secret", ("example.org", 443)),
    ("http://user:secret@127.0.0.1:8080/", ("127.0.0.1", 8080)),
    ("/relative", (None, None)),
]


@pytest.mark.parametrize(("url", "address"), CASES)
def test_address(url: str, address: object) -> None:
    assert address_in(url) == address
    assert address_of(httpx.URL(url)) == address


@pytest.mark.parametrize("text", ["http://[broken", "http://host:port", "https://host:99999"])
def test_what_is_no_url_has_no_address(text: str) -> None:
    assert address_in(text) == (None, None)


def test_what_has_no_such_attributes_has_no_address() -> None:
    assert address_of(object()) == (None, None)
