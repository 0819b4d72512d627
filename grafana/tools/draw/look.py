"""What a panel's JSON says of the look: colours, units, thresholds, overrides."""

import re
import zlib
from dataclasses import dataclass
from typing import Any

PALETTE = (
    *("#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#1F78C1", "#BA43A9", "#705DA0", "#B7DBAB"),
    *("#F4D598", "#70DBED", "#F9BA8F", "#82B5D8", "#E5A8E2", "#AEA2E0", "#629E51", "#E5AC0E"),
    *("#64B0C8", "#E0752D", "#0A50A1", "#962D82", "#614D93", "#9AC48A", "#F2C96D", "#65C5DB"),
)
TEXT, DIM, GRID, PANEL, PAGE = "#D8D9DA", "#9DA5B4", "#2C3235", "#181B1F", "#111217"


@dataclass(frozen=True)
class Look:
    """The field configuration of one panel."""

    panel: dict[str, Any]

    @property
    def defaults(self) -> dict[str, Any]:
        """What holds for every series."""
        found: dict[str, Any] = self.panel["fieldConfig"]["defaults"]
        return found

    @property
    def unit(self) -> str:
        """The unit of the axis."""
        return str(self.defaults.get("unit", "short"))

    def custom(self, name: str, otherwise: Any = None) -> Any:
        """Return an option of this kind of panel."""
        return (self.defaults.get("custom") or {}).get(name, otherwise)

    def of(self, name: str, ref: str = "") -> dict[str, Any]:
        """Return what the overrides say of one series or column."""
        found: dict[str, Any] = {}
        for override in self.panel["fieldConfig"].get("overrides", ()):
            if _matches(override["matcher"], name, ref):
                found |= {one["id"]: one["value"] for one in override["properties"]}
        return found

    def colour(self, name: str, ref: str = "", place: int = 0) -> str:
        """Return a series' colour: its own, or that of its place among all, or of its name."""
        own = self.of(name, ref).get("color", {})
        fixed: str | None = own.get("fixedColor")
        by_place = self.defaults.get("color", {}).get("mode") == "palette-classic"
        number = place if by_place else zlib.crc32(name.encode())
        return fixed or PALETTE[number % len(PALETTE)]

    def level(self, value: float, thresholds: dict[str, Any] | None = None) -> str:
        """Return the colour that the thresholds give a value."""
        colour = TEXT
        for step in (thresholds or self.defaults["thresholds"])["steps"]:
            if step["value"] is None or value >= step["value"]:
                colour = TEXT if step["color"] == "text" else step["color"]
        return colour


def _matches(matcher: dict[str, Any], name: str, ref: str) -> bool:
    match matcher["id"]:
        case "byName":
            return bool(matcher["options"] == name)
        case "byRegexp":
            return re.search(matcher["options"].strip("/"), name) is not None
        case "byFrameRefID":
            return bool(matcher["options"] == ref)
    raise ValueError(f"an override by {matcher['id']} is not known here")
