"""The command: ``python -m draw --prometheus URL --out FOLDER [NAME...]``."""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .data import Source
from .page import EDGE, page

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
WINDOWS = {1280: 930, 1920: 1570}
"""How wide the dashboards' grid is in a window of that width, with the navigation docked."""


def main() -> None:
    """Draw the dashboards that are named, or all, in both widths."""
    parser = argparse.ArgumentParser(prog="draw", description=__doc__)
    parser.add_argument("names", nargs="*", help="which dashboards; without any, all")
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=600, help="how far to look back")
    parser.add_argument("--scrape", type=float, default=5, help="the interval of scrapes")
    parser.add_argument("--provider", help="the provider to choose on dashboards for one")
    args = parser.parse_args()
    for path in sorted(DASHBOARDS.glob("*.json")):
        if not args.names or path.stem in args.names:
            draw(path, args.prometheus, args.out, args.seconds, args.scrape, args.provider)


def draw(
    path: Path, prometheus: str, out: Path, seconds: float, scrape: float, provider: str | None
) -> None:
    """Draw one dashboard of the last so many seconds, as it is in windows of both widths."""
    end = time.time()
    board = json.loads(path.read_text(encoding="utf-8"))
    choices = {}
    for one in board["templating"]["list"]:
        if one["name"] == "provider" and not one.get("multi"):
            choices["provider"] = provider or one["current"]["value"]
    source = Source(prometheus, end - seconds, end, scrape, choices)
    for window, grid in WINDOWS.items():
        width = grid + 2 * EDGE
        html, height = page(board, source, width)
        picture(html, out / f"dashboard-{path.stem}-{window}.png", width, height)


def picture(html: str, out: Path, width: int, height: int) -> None:
    """Have headless Chromium take a picture of a page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "page.html"
        file.write_text(html, encoding="utf-8")
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={home}/profile", f"--window-size={width},{height}"]
        command += [f"--screenshot={out.resolve()}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    main()
