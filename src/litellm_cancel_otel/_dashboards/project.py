"""Where the project's documents are, for the links in dashboards and alerts."""

from typing import Final

REPOSITORY: Final = "https://github.com/litellm-cancel-otel/litellm-cancel-otel"
"""Still to be set: the address under which the project will be published."""

HOME: Final = f"{REPOSITORY}/blob/main"


def runbook(section: str) -> str:
    """Return the address of a section of the runbook."""
    return f"{HOME}/docs/runbook.md#{section}"
