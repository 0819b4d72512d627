"""Settings: what fits is kept, what does not is named with its value and its range."""

import copy
import dataclasses
import logging
import pickle
from typing import Any

import pytest

from litellm_cancel_otel._contract.settings import PREFIX, Settings, markdown_table

NAMES = [item.name for item in dataclasses.fields(Settings)]


def test_defaults_are_constants_that_fit() -> None:
    assert Settings() == Settings.from_env({})
    assert dataclasses.asdict(Settings(stuck_limits={})) == {
        "spans": "cancelled",
        "guard": True,
        "max_models": 100,
        "upstream_wait": 5.0,
        "disconnect_grace": 0.02,
        "orphan_grace": 10.0,
        "close_timeout": 5.0,
        "checkpoint_interval": 0.005,
        "watchdog": True,
        "watchdog_interval": 1.0,
        "stuck_after_disconnect": 5.0,
        "stuck_no_chunk": 60.0,
        "stuck_first_chunk": 600.0,
        "stuck_limits": {},
        "loop_lag": True,
        "cancel_messages": False,
        "top_socket": "auto",
        "middleware": False,
    }


def test_frozen_keyword_only_hashed_copied_and_pickled() -> None:
    settings = Settings(max_models=7, stuck_limits={"azure": (1, 2)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.max_models = 8  # type: ignore[misc]
    with pytest.raises(TypeError):
        Settings("all")  # type: ignore[call-arg]
    twin = Settings(max_models=7, stuck_limits={"azure": (1, 2)})
    assert settings == twin == copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings))
    assert hash(settings) == hash(twin)
    assert not hasattr(settings, "__dict__")


def test_stuck_limits_are_a_copy_that_nobody_changes() -> None:
    given = {"azure": (1.0, 2.0)}
    settings = Settings(stuck_limits=given)
    given["openai"] = (3.0, 4.0)
    assert settings.stuck_limits == {"azure": (1.0, 2.0)}
    with pytest.raises(TypeError):
        settings.stuck_limits["azure"] = (5.0, 6.0)  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("max_models", 1, 10_000),
        ("upstream_wait", 0, 60),
        ("disconnect_grace", 0, 60),
        ("orphan_grace", 0, 3_600),
        ("close_timeout", 0.01, 60),
        ("checkpoint_interval", 0, 10),
        ("watchdog_interval", 0.05, 60),
        ("stuck_after_disconnect", 0.01, 3_600),
        ("stuck_no_chunk", 0.01, 86_400),
        ("stuck_first_chunk", 0.01, 86_400),
    ],
)
def test_both_ends_of_a_range_fit_and_nothing_beyond(name: str, low: float, high: float) -> None:
    beyond = 1 if name == "max_models" else 0.001
    for value in (low, high):
        assert getattr(Settings(**{name: value}), name) == value  # type: ignore[arg-type]
        assert getattr(Settings.from_env({PREFIX + name.upper(): str(value)}), name) == value
    for value in (low - beyond, high + beyond):
        with pytest.raises(ValueError, match=rf"^{name} is {value!r}; .* {low} to {high}$"):
            Settings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spans", "some"),
        ("spans", None),
        ("guard", 1),
        ("guard", "yes"),
        ("max_models", 5.0),
        ("max_models", True),
        ("max_models", "5"),
        ("upstream_wait", float("nan")),
        ("upstream_wait", float("inf")),
        ("upstream_wait", True),
        ("upstream_wait", "5"),
        ("stuck_limits", [("azure", (1, 2))]),
        ("stuck_limits", {"azure": 1}),
        ("stuck_limits", {"azure": (1,)}),
        ("stuck_limits", {"azure": (1, 2, 3)}),
        ("stuck_limits", {"azure": (1, 0)}),
        ("stuck_limits", {"azure": (1, "2")}),
        ("stuck_limits", {"": (1, 2)}),
        ("stuck_limits", {"azure/": (1, 2)}),
        ("stuck_limits", {"/gpt-4o": (1, 2)}),
        ("stuck_limits", {5: (1, 2)}),
        ("top_socket", ""),
        ("top_socket", b"/tmp/top"),
        ("top_socket", "/tmp/\0"),
        ("top_socket", "/" + "é" * 52),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is .*; it must be ") as caught:
        Settings(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "wanted"),
    [
        ("SPANS", "all", "all"),
        ("SPANS", " None ", "none"),
        ("GUARD", "OFF", False),
        ("GUARD", "no", False),
        ("GUARD", "False", False),
        ("GUARD", "0", False),
        ("CANCEL_MESSAGES", "on", True),
        ("CANCEL_MESSAGES", "Yes", True),
        ("CANCEL_MESSAGES", "TRUE", True),
        ("CANCEL_MESSAGES", "1", True),
        ("MAX_MODELS", "12", 12),
        ("ORPHAN_GRACE", "1e-1", 0.1),
        ("STUCK_LIMITS", '{"azure/gpt-4o*": [30, 120.5]}', {"azure/gpt-4o*": (30, 120.5)}),
        ("TOP_SOCKET", "/run/user/0/top.sock", "/run/user/0/top.sock"),
        ("TOP_SOCKET", "Auto", "auto"),
        ("TOP_SOCKET", "on", "auto"),
        ("TOP_SOCKET", "OFF", None),
        ("TOP_SOCKET", "0", None),
        ("GUARD", "", True),
        ("MAX_MODELS", "  ", 100),
    ],
)
def test_the_environment_is_read(variable: str, text: str, wanted: object) -> None:
    assert getattr(Settings.from_env({PREFIX + variable: text}), variable.lower()) == wanted


BAD = [
    ("SPANS", "some", "one of cancelled, all, none"),
    ("GUARD", "maybe", "true or false"),
    ("MAX_MODELS", "0", "a whole number from 1 to 10000"),
    ("MAX_MODELS", "ten", "a whole number from 1 to 10000"),
    ("UPSTREAM_WAIT", "61", "a number of seconds from 0 to 60"),
    ("UPSTREAM_WAIT", "5s", "a number of seconds from 0 to 60"),
    ("STUCK_LIMITS", "azure=5", "a JSON object"),
    ("STUCK_LIMITS", "[1, 2]", "a JSON object"),
    ("STUCK_LIMITS", "[" * 100_000, "a JSON object"),
    ("STUCK_LIMITS", '{"azure": [NaN, 1]}', "a JSON object"),
    ("TOP_SOCKET", "/" + "x" * 103, "a path of at most 103 bytes"),
]


@pytest.mark.parametrize(("variable", "text", "range_"), BAD)
def test_a_bad_variable_raises(variable: str, text: str, range_: str) -> None:
    with pytest.raises(ValueError, match=rf"^{PREFIX}{variable} is .*; it must be") as caught:
        Settings.from_env({PREFIX + variable: text})
    assert repr(text) in str(caught.value)
    assert range_ in str(caught.value)


@pytest.mark.parametrize(("variable", "text", "range_"), BAD)
def test_a_bad_variable_is_a_warning_where_not_strict(
    variable: str, text: str, range_: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.from_env({PREFIX + variable: text, PREFIX + "WATCHDOG": "0"}, strict=False)
    assert settings == Settings(watchdog=False)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{PREFIX}{variable} is {text!r}; it must be")
    assert range_ in record.getMessage()


def test_an_unknown_variable_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    environ = {PREFIX + "STUCK_NO_CHUNKS": "1", PREFIX + "SPANS": "all", "OTHER_SPANS": "x"}
    assert Settings.from_env(environ) == Settings(spans="all")
    (record,) = caplog.records
    assert f"{PREFIX}STUCK_NO_CHUNKS " in record.getMessage()
    assert record.getMessage().endswith(f" {PREFIX}STUCK_NO_CHUNK")


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "MAX_MODELS", "3")
    assert Settings.from_env().max_models == 3


def test_the_first_pattern_that_matches_is_the_limit() -> None:
    settings = Settings(
        stuck_limits={
            "azure/gpt-4o": (1, 2),
            "azure/*": (3, 4),
            "openrouter/openai/*": (5, 6),
            "bedrock*": (7, 8),
        },
    )
    assert settings.limit("azure", "gpt-4o") == (1, 2)
    assert settings.limit("azure", "gpt-4o-mini") == (3, 4)
    assert settings.limit("openrouter", "openai/o3") == (5, 6)
    assert settings.limit("openrouter", "meta/llama") == (60, 600)
    assert settings.limit("bedrock_converse", "anthropic/claude") == (7, 8)
    assert settings.limit("AZURE", "gpt-4o") == (60, 600)


@pytest.mark.parametrize("name", ["azure", "azure.ai.openai"])
def test_a_pattern_has_litellms_name_of_the_provider_or_that_of_the_metrics(name: str) -> None:
    settings = Settings(stuck_limits={f"{name}/gpt-4o*": (1, 2), name: (3, 4)})
    assert settings.limit("azure", "gpt-4o-mini") == (1, 2)
    assert settings.limit("azure", "o3") == (3, 4)
    assert settings.limit("openai", "gpt-4o") == (60, 600)


def test_the_table_has_every_setting_with_its_default_and_range() -> None:
    head, rule, *rows = markdown_table().splitlines()
    assert [row.split("`")[1] for row in rows] == NAMES
    assert {row.count(" | ") for row in (head, *rows)} == {3}
    assert set(rule) <= set("|-")
    assert "| `max_models` | 100 | a whole number from 1 to 10000 | Distinct " in markdown_table()
