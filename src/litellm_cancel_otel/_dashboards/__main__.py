"""Builds the dashboards and the rules: ``python -m litellm_cancel_otel._dashboards [ROOT]``."""

import sys
from pathlib import Path

from .files import files


def main(root: Path) -> None:
    """Write every built file below the repository's root."""
    for path, content in files().items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
