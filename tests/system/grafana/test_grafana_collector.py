"""The Collector's configurations, as far as they can be checked without it."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_stack import ROOT
from jsonschema import Draft202012Validator

from litellm_cancel_otel._contract import semconv as sc

FOLDER = ROOT / "deploy" / "collector"
COLLECTORS = sorted({*FOLDER.glob("*.yaml")} - {FOLDER / "kustomization.yaml"})
SCHEMA = Path(__file__).with_name("collector.schema.yaml")


def load(path: Path) -> Any:
    """Return what is in a YAML file."""
    return yaml.safe_load(path.read_text())


def merged(below: Any, above: Any) -> Any:
    """Return two configurations laid over each other, as the Collector does it."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def _collector(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = load(path)
    if "receivers" not in content:
        content = merged(load(FOLDER / "gateway.yaml"), content)
    return content


def complaints(config: Any) -> list[str]:
    """Return what the Collector would say of a configuration's keys and values."""
    found = Draft202012Validator(load(SCHEMA)).iter_errors(config)
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda path: path.name)
def test_a_collectors_keys_and_values_are_of_its_parts_own_types(path: Path) -> None:
    assert complaints(_collector(path)) == []


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("exporters", "load_balancing", "resolver", "dns", "port"), 4317),
        (("exporters", "prometheusremotewrite"), {"endpoint": "http://mimir:9009"}),
        (("exporters", "otlp_grpc/gateway", "sending_queue"), {"storge": "file_storage"}),
        (("processors", "batch", "timeout"), 1),
        (("processors", "memory_limiter", "limit_percentage"), "80"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_a_wrong_key_or_value_is_found(where: tuple[str, ...], wrong: object) -> None:
    config = deepcopy(load(FOLDER / "agent.yaml"))
    *folders, name = where
    place = config
    for folder in folders:
        place = place[folder]
    place[name] = wrong
    (complaint,) = complaints(config)
    assert folders[-1] in complaint


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda path: path.name)
def test_a_queue_is_kept_in_a_storage_that_is_started(path: Path) -> None:
    config = _collector(path)
    for exporter in config["exporters"].values():
        if storage := exporter.get("sending_queue", {}).get("storage"):
            assert storage in config["service"]["extensions"]


def test_what_waited_for_prometheus_is_not_too_old_for_it() -> None:
    exporter = load(FOLDER / "gateway.yaml")["exporters"]["otlp_http/prometheus"]
    tsdb = load(ROOT / "deploy" / "prometheus" / "prometheus.yml")["storage"]["tsdb"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == tsdb["out_of_order_time_window"]


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda path: path.name)
def test_a_collectors_pipelines_are_of_parts_that_it_defines(path: Path) -> None:
    config = _collector(path)
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
    assert set(config["service"]["extensions"]) <= set(config["extensions"])


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda path: path.name)
def test_a_collector_uses_all_that_its_own_file_defines(path: Path) -> None:
    own, whole = load(path), _collector(path)
    for kind in ("receivers", "processors", "exporters"):
        used = {part for one in whole["service"]["pipelines"].values() for part in one[kind]}
        assert set(own.get(kind, {})) <= used


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda path: path.name)
def test_a_collector_looks_at_its_memory_before_all_else(path: Path) -> None:
    for pipeline in _collector(path)["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"


def test_the_gateway_keeps_every_cancelled_internal_and_stuck_trace() -> None:
    gateway = load(FOLDER / "gateway.yaml")
    sampling = gateway["processors"]["tail_sampling"]
    policies = {policy["type"]: policy for policy in sampling["policies"]}
    cancelled = policies["string_attribute"]["string_attribute"]
    assert cancelled["key"] == sc.CANCELLATION_TYPE
    (pattern,) = cancelled["values"]
    for kind in (sc.EXTERNAL, sc.internal_cancellation_type("azure")):
        assert re.fullmatch(pattern, kind)
    (event,) = policies["ottl_condition"]["ottl_condition"]["spanevent"]
    assert event == f'name == "{sc.EVENT_STUCK}"'
    assert "drop" not in policies
