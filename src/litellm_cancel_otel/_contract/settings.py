"""Every setting with its default, range and meaning: the one table behind validation and docs."""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, Literal, Self, TypeVar, cast

from .limit_patterns import matches
from .log import warn
from .setting_kinds import (
    AUTO,
    Choice,
    Flag,
    Integer,
    Kind,
    Limit,
    Limits,
    LimitsByModel,
    Seconds,
    SocketPath,
)

PREFIX: Final = "LITELLM_CANCEL_OTEL_"

_CHUNK = Seconds(0.01, 86_400)


T = TypeVar("T")


def _setting(default: T, kind: Kind, doc: str) -> T:
    return field(default=default, metadata={"kind": kind, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Raises ValueError for a value that does not fit, and says which values do."""

    spans: Literal["cancelled", "all", "none"] = _setting(
        "cancelled",
        Choice(("cancelled", "all", "none")),
        "Calls that get a span: those cancelled, abandoned or stuck; every one; none.",
    )
    guard: bool = _setting(
        True,
        Flag(),
        "Close what a disconnect or a dropped stream left open; without it, only watch.",
    )
    max_models: int = _setting(
        100, Integer(1, 10_000), "Distinct model values in metrics before the rest become `_other`."
    )
    upstream_wait: float = _setting(
        5.0,
        Seconds(0, 60),
        "How long a cancelled call's span waits for the provider's response to close.",
    )
    disconnect_grace: float = _setting(
        0.02,
        Seconds(0, 60),
        "How long after the disconnect a server and its framework have to stop a request whose "
        "response has begun, before the guard does.",
    )
    orphan_grace: float = _setting(
        10.0,
        Seconds(0, 3_600),
        "How long an unfinished stream that something can still reach may be without a driver "
        "before the guard closes it, where its client is gone or its driver failed; any use renews "
        "it. What nothing can reach is closed at once.",
    )
    close_timeout: float = _setting(
        5.0, Seconds(0.01, 60), "How long a close of the guard's may take before it is given up."
    )
    checkpoint_interval: float = _setting(
        0.005,
        Seconds(0, 10),
        "How long a stream may hand out buffered chunks before it yields to the loop; 0: never.",
    )
    watchdog: bool = _setting(True, Flag(), "Look for stuck streams while they are stuck.")
    watchdog_interval: float = _setting(1.0, Seconds(0.05, 60), "How often the watchdog looks.")
    stuck_after_disconnect: float = _setting(
        5.0,
        Seconds(0.01, 3_600),
        "How long after the disconnect a stream whose `finally` has not run is stuck.",
    )
    stuck_no_chunk: float = _setting(
        60.0, _CHUNK, "How long after its last chunk a stream without a new one is stuck."
    )
    stuck_first_chunk: float = _setting(
        600.0, _CHUNK, "How long after its start a stream without a first chunk is stuck."
    )
    stuck_limits: Mapping[str, tuple[float, float]] = _setting(
        Limits(),
        LimitsByModel(_CHUNK, _CHUNK),
        "Other `stuck_no_chunk` and `stuck_first_chunk` by provider or model; the first pattern "
        'that matches holds, e.g. `{"openai/o3*": [300, 1800], "azure": [30, 120]}`. A provider '
        "goes by LiteLLM's name (`azure`) and by that of metrics and alerts (`azure.ai.openai`).",
    )
    loop_lag: bool = _setting(True, Flag(), "Measure how late the event loop runs what is due.")
    cancel_messages: bool = _setting(
        False,
        Flag(),
        "Let the messages of asyncio cancels, which are the application's, into telemetry.",
    )
    top_socket: str | None = _setting(
        AUTO,
        SocketPath(),
        "Unix socket that `litellm-cancel-otel top` reads, from the first stream on: in a folder "
        "of the user's own, at a path, or none. It needs the watchdog.",
    )

    middleware: bool = _setting(
        False,
        Flag(),
        "With `opentelemetry-instrument`: put `CancellationMiddleware` around each FastAPI and "
        "Starlette application.",
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            kept = _fitting(item, item.name, value, value)
            object.__setattr__(self, item.name, kept)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, *, strict: bool = True) -> Self:
        """Read the settings from ``LITELLM_CANCEL_OTEL_*``; an empty variable is not set.

        A value that does not fit raises ValueError or, where not strict, is a warning in the log
        and the default holds: a typing error must not keep a proxy from starting.
        """
        known = {PREFIX + item.name.upper(): item for item in fields(cls)}
        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in known:
                import difflib  # seldom needed, and slow to load

                (nearest,) = difflib.get_close_matches(name, known, n=1, cutoff=0)
                warn("%s is no setting; the nearest name is %s", name, nearest)
        values: dict[str, Any] = {}
        for variable, item in known.items():
            if text := environ.get(variable, "").strip():
                try:
                    values[item.name] = _read(item, variable, text)
                except ValueError as exc:
                    if strict:
                        raise
                    warn("%s; the default %s holds", exc, _shown(item.default))
        return cls(**values)

    def limit(self, provider: str, model: str) -> Limit:
        """Return how long this model may give no chunk; ``provider`` is LiteLLM's name of it."""
        for pattern, limit in self.stuck_limits.items():
            if matches(pattern, provider, model):
                return Limit(*limit)
        return Limit(self.stuck_no_chunk, self.stuck_first_chunk)


def markdown_table() -> str:
    """Return the settings as the table that the documentation shows."""
    rows = [
        f"| `{item.name}` | {_shown(item.default)} | {_kind(item).range} | {item.metadata['doc']} |"
        for item in fields(Settings)
    ]
    return "\n".join(("| setting | default | range | meaning |", "|---|---|---|---|", *rows, ""))


def _kind(item: Field[Any]) -> Kind:
    return cast("Kind", item.metadata["kind"])


def _shown(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case None | Limits():
            return "none"
        case float():
            return f"{default:g}"
        case _:
            return str(default)


def _read(item: Field[Any], variable: str, text: str) -> object:
    try:
        value = _kind(item).parse(text)
    except (ValueError, RecursionError):
        raise _misfit(item, variable, text) from None
    return _fitting(item, variable, value, text)


def _fitting(item: Field[Any], name: str, value: object, shown: object) -> object:
    try:
        return _kind(item).check(value)
    except (TypeError, ValueError):
        raise _misfit(item, name, shown) from None


def _misfit(item: Field[Any], name: str, shown: object) -> ValueError:
    return ValueError(f"{name} is {shown!r}; it must be {_kind(item).range}")
