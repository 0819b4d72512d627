"""The data of a panel: its expressions, with the variables filled in, asked of Prometheus."""

import json
import math
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

Labels = dict[str, str]
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One course: its name in the legend, the query it is of, its labels and points."""

    name: str
    ref: str
    labels: Labels
    points: list[Point]


@dataclass(frozen=True)
class Source:
    """A Prometheus, a span of time in it, and the dashboard's variables."""

    url: str
    start: float
    end: float
    scrape: float
    choices: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> float:
        """Seconds from one point to the next."""
        return max(self.scrape, math.ceil((self.end - self.start) / 240))

    def courses(self, target: dict[str, Any]) -> list[Series]:
        """Return what an expression was over the time."""
        times = {"start": self.start, "end": self.end, "step": self.step}
        found = self._ask("/api/v1/query_range", target["expr"], **times)
        return [self._series(one, target, one["values"]) for one in found]

    def now(self, target: dict[str, Any]) -> list[Series]:
        """Return what an expression is at the end of it."""
        found = self._ask("/api/v1/query", target["expr"], time=self.end)
        return [self._series(one, target, [one["value"]]) for one in found]

    def rules(self) -> list[dict[str, Any]]:
        """Return the alerting rules with their states."""
        groups = self._get("/api/v1/rules", {"type": "alert"})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def filled(self, expr: str) -> str:
        """Return an expression with the variables filled in."""
        rate = max(self.step + self.scrape, 4 * self.scrape)
        values = {"__rate_interval": f"{rate:g}s", "__range": f"{self.end - self.start:.0f}s"}
        values |= self.choices
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), expr)

    def _ask(self, path: str, expr: str, **times: float) -> list[dict[str, Any]]:
        query = {"query": self.filled(expr), **times}
        found: list[dict[str, Any]] = self._get(path, query)["result"]
        return found

    def _get(self, path: str, query: dict[str, Any]) -> Any:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def _series(
        self, one: dict[str, Any], target: dict[str, Any], values: list[list[Any]]
    ) -> Series:
        labels: Labels = one["metric"]
        name = target.get("legendFormat", "")
        name = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), name)
        points = [(float(at), float(value)) for at, value in values]
        return Series(name, target["refId"], labels, [p for p in points if not math.isnan(p[1])])
