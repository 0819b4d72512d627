"""Numbers as Grafana shows them: with the unit's prefix, and as many digits as help."""

import math

_SECONDS = ((1, "s", 1), (1e-3, "ms", 1e3), (1e-6, "µs", 1e6), (1e-9, "ns", 1e9))


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit."""
    if math.isnan(value) or math.isinf(value):
        return "-"
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit == "s":
        return _seconds(value, decimals)
    if unit == "currencyUSD":
        return f"${_digits(value, decimals)}"
    if unit == "si:s":
        return _decade(value, decimals)
    if unit.startswith("suffix:"):
        return f"{_digits(value, decimals)}{unit.removeprefix('suffix:')}"
    if abs(value) >= 1e4:
        return f"{_digits(value / 1e3, decimals)} K"
    return _digits(value, decimals)


def _seconds(value: float, decimals: int | None) -> str:
    if value == 0:
        return "0 s"
    if abs(value) >= 3600:
        return f"{_digits(value / 3600, decimals)} hours"
    if abs(value) >= 60:
        return f"{_digits(value / 60, decimals)} mins"
    for least, name, factor in _SECONDS:
        if abs(value) >= least:
            return f"{_digits(value * factor, decimals)} {name}"
    return f"{value:.2g} s"


def _decade(value: float, decimals: int | None) -> str:
    if abs(value) >= 1000:
        return f"{_digits(value / 1000, decimals)} ks"
    return _seconds(value, decimals) if abs(value) < 60 else f"{_digits(value, decimals)} s"


def _digits(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = 0 if value == round(value) or abs(value) >= 100 else 2 if abs(value) < 10 else 1
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{decimals}f}"
