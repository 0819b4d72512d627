"""Where the project's documents are, for the links in dashboards and alerts."""

from typing import Final

REPOSITORY: Final = "https://github.com/litellm-cancel-otel/litellm-cancel-otel"
"""Still to be set: the address under which the project will be published."""

HOME: Final = f"{REPOSITORY}/blob/main"

GRAFANA: Final = "http://127.0.0.1:3000"
"""Where Grafana is: the stack's in ``docker-compose.yml``; the alerts' links begin with it."""


def runbook(section: str) -> str:
    """Return the address of a section of the runbook."""
    return f"{HOME}/docs/runbook.md#{section}"
