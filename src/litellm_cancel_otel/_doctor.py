"""``litellm-cancel-otel doctor``: what this installation is, and what keeps it from working."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import urlsplit

from ._appcheck import command as _appcheck
from ._appcheck.installed import unusable_litellm

HELP = "say what is installed, which settings hold, where telemetry goes, and what is wrong"

PACKAGES: Final = (
    "litellm-cancel-otel",
    "litellm",
    "openai",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp",
)
SIGNALS: Final = ("traces", "metrics")
PATIENCE: Final = 2.0
"""Seconds to wait for a collector to take the connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON document for a machine")
    _appcheck.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Look, and say what was found; 0 when all is well."""
    # LiteLLM would fetch its table of prices.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if (why := unusable_litellm()) is not None:
        print(why, file=sys.stderr)
        return 2
    if args.app is not None:
        return _appcheck.run(args)
    findings = examine()
    print(json.dumps(findings.document(), indent=2) if args.json else "\n".join(findings.lines()))
    return 1 if findings.problems else 0


@dataclass(slots=True)
class Findings:
    """What was found: facts by heading, and the problems, each with what to do."""

    versions: dict[str, str] = field(default_factory=dict)
    seams: dict[str, int] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    telemetry: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def lines(self) -> Iterator[str]:
        """Yield all of it for a person."""
        yield "versions"
        yield from _columns(self.versions)
        yield "seams"
        yield f"  {self.seams['fit']} of {self.seams['all']} fit this LiteLLM"
        yield f"  a call arrives from {self.seams['arriving']} of {self.seams['called']} functions"
        yield "settings"
        yield from _columns(
            {
                name: f"{setting['value']}  ({setting['from']})"
                for name, setting in self.settings.items()
            }
        )
        yield "telemetry, where the application sets no provider of its own"
        yield from _columns({name: _places(places) for name, places in self.telemetry.items()})
        yield "problems" if self.problems else "no problems"
        for problem in self.problems:
            yield f"  - {problem}"


def examine() -> Findings:
    """Look at versions, seams, settings and exporters."""
    findings = Findings()
    _look_at_versions(findings)
    _look_at_seams(findings)
    _look_at_settings(findings)
    _look_at_telemetry(findings)
    return findings


def _look_at_versions(findings: Findings) -> None:
    findings.versions["python"] = platform.python_version()
    for package in PACKAGES:
        try:
            findings.versions[package] = version(package)
        except PackageNotFoundError:
            findings.versions[package] = "not installed"
            findings.problems.append(f"{package} is not installed: pip install {package}")


def _look_at_seams(findings: Findings) -> None:
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    from ._contract.settings import Settings
    from ._integration.callback import CancelTelemetry
    from ._seams import load_all, seams, self_test

    load_all()
    with (
        _warnings(),  # what the seams would warn of is told here, line by line
        CancelTelemetry(
            tracer_provider=NoOpTracerProvider(),
            meter_provider=NoOpMeterProvider(),
            settings=Settings(),
        ) as telemetry,
    ):
        missing = telemetry.missing_seams
        arrivals = asyncio.run(self_test.arrivals())
    every = sum(1 for _ in seams())
    lost = {name: why for name, why in arrivals.items() if why is not None}
    findings.seams = {
        "all": every,
        "fit": every - len(missing),
        "called": len(arrivals),
        "arriving": len(arrivals) - len(lost),
    }
    findings.problems += [f"not watched: {seam}: {_advice(seam)}" for seam in missing]
    findings.problems += [
        f"not watched: {name}: {why}: look what has put itself in its place"
        for name, why in lost.items()
        if not any(seam.startswith((f"{name}:", f"{name} ")) for seam in missing)
    ]


def _advice(seam: str) -> str:
    from ._seams.patching import BY

    if BY in seam:
        return "let it patch LiteLLM after CancelTelemetry is created"
    return "look for a newer litellm-cancel-otel"


def _look_at_settings(findings: Findings) -> None:
    from ._contract.settings import PREFIX, Settings

    with _warnings() as warned:
        settings = Settings.from_env(strict=False)
    findings.problems += warned
    for item in fields(settings):
        value = getattr(settings, item.name)
        variable = PREFIX + item.name.upper()
        misfit = any(line.startswith(f"{variable} ") for line in warned)
        is_set = bool(os.environ.get(variable, "").strip()) and not misfit
        findings.settings[item.name] = {
            "value": value if isinstance(value, bool | int | float | None) else str(value),
            "from": variable if is_set else "default",
        }
    findings.problems += _idle_limits(f"{PREFIX}STUCK_LIMITS", settings.stuck_limits)
    findings.problems += _no_place_for_top(f"{PREFIX}TOP_SOCKET", settings.top_socket)


def _no_place_for_top(variable: str, where: str | None) -> Iterator[str]:
    from ._contract.setting_kinds import AUTO
    from ._integration import socket_folder

    if where != AUTO:
        return
    try:
        found = socket_folder.listen()
        socket_folder.leave(found)
        found.shut()
    except OSError as exc:
        yield f"no place for the socket of top ({exc}): set {variable} to a path, or to off"


def _idle_limits(variable: str, patterns: Iterable[str]) -> Iterator[str]:
    import litellm

    from ._contract.limit_patterns import idle
    from ._contract.semconv import LITELLM_PROVIDERS

    listed = {str(getattr(one, "value", one)) for one in litellm.provider_list}
    own = {str(one["provider"]) for one in litellm.custom_provider_map}
    for pattern, reason in idle(patterns, listed | own | LITELLM_PROVIDERS):
        yield f"{variable}: the pattern {pattern} can match nothing: {reason}"


def _look_at_telemetry(findings: Findings) -> None:
    from ._telemetry import pipeline as _export

    with _warnings() as warned:
        pipeline = _export.resolve()
        pipeline.tell_nowhere()
    pipeline.shutdown()
    findings.problems += warned
    senders: dict[str, list[str]] = {}
    for signal in SIGNALS:
        places = _places_of(signal)
        for place in places:
            if "endpoint" in place:
                senders.setdefault(place["endpoint"], []).append(signal)
                place["endpoint"] = _export.shown_address(place["endpoint"])
        findings.telemetry[signal] = places
    for endpoint, signals in senders.items():
        if failure := _unreachable(endpoint):
            findings.problems.append(
                f"{' and '.join(signals)} go to {_export.shown_address(endpoint)}, "
                f"which cannot be reached ({failure}): "
                "start the collector there, or correct OTEL_EXPORTER_OTLP_ENDPOINT"
            )


def _places_of(signal: str) -> list[dict[str, str]]:
    from ._telemetry import pipeline as _export

    if _export._env("OTEL_SDK_DISABLED").lower() == "true":
        return [{"exporter": "none (OTEL_SDK_DISABLED)"}]
    names = _export._exporter_names(signal)
    places = [{"exporter": _export.without_secrets(name)} for name in names]
    for place in places:
        if place["exporter"] == "otlp":
            _, protocol = _export._protocol(signal)
            usual = f"http://localhost:{4317 if protocol == 'grpc' else 4318}"
            protocol = _export.without_secrets(protocol)
            place |= {"protocol": protocol, "endpoint": _export._endpoint(signal) or usual}
    return places


def _unreachable(endpoint: str) -> str | None:
    """Return why nothing takes a connection at an endpoint; None where something does."""
    try:
        url = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        port = url.port or {"http": 80, "https": 443}.get(url.scheme, 4317)
        socket.create_connection((url.hostname or "", port), PATIENCE).close()
    except OSError as exc:
        return exc.strerror or type(exc).__name__
    except ValueError:  # whose text may quote a part of the password
        return "that is no address"
    return None


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the package would warn of in the log, instead of its being logged."""
    log = logging.getLogger("litellm_cancel_otel")
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, propagate = Collect(), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield lines
    finally:
        log.propagate = propagate
        log.removeHandler(handler)


def _columns(facts: dict[str, str]) -> Iterator[str]:
    width = max(map(len, facts))
    for name, value in facts.items():
        yield f"  {name:<{width}}  {value}"


def _places(places: list[dict[str, str]]) -> str:
    if not places:
        return "nowhere"
    return ", ".join(
        place["exporter"]
        if "endpoint" not in place
        else f"otlp ({place['protocol']}) to {place['endpoint']}"
        for place in places
    )
