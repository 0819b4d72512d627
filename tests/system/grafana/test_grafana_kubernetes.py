"""The cluster's files pass their schemas and fit together; no cluster was there to start them."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from grafana_boards import boards
from grafana_stack import ROOT
from kubernetes_files import (
    Resource,
    containers,
    environment,
    faults,
    kubectl,
    mebibytes,
    of_kind,
    ports,
    resources,
    selected,
)

from litellm_cancel_otel._cli import main
from litellm_cancel_otel._contract.settings import PREFIX
from support.children import run

APPLIED_AT_MOST = 262_144
"""Bytes of an annotation, in which `kubectl apply` keeps what it applied."""

GATEWAY = yaml.safe_load((ROOT / "deploy/collector/gateway.yaml").read_text())
OVERLAY = (ROOT / "deploy/collector/kubernetes.yaml").read_text()
CONFIG = (ROOT / "deploy/proxy/config.yaml").read_text()
PAGE = (ROOT / "docs/deployment.md").read_text()


def each_container() -> Iterator[tuple[Resource, Resource]]:
    """Yield each container with its deployment."""
    for deployment in of_kind("Deployment").values():
        for container in containers(deployment):
            yield deployment, container


def test_every_kind_of_resource_that_is_wanted_is_there() -> None:
    kinds = {one["kind"] for one in resources()}
    assert kinds == {"ConfigMap", "Deployment", "PodMonitor", "PrometheusRule", "Service"}


def test_every_resource_passes_the_schema_of_its_kind() -> None:
    found = {one["metadata"]["name"]: faults(one) for one in resources()}
    assert {name: fault for name, fault in found.items() if fault} == {}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 1),
        ("Deployment", ("spec", "replicas"), "two"),
        ("ConfigMap", ("dat",), {}),
        ("Service", ("spec", "ports", 0, "targetports"), 1),
        ("PodMonitor", ("spec", "podMetricsEndpoint"), []),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), "15 s"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expression"), "1"),
    ],
)
def test_a_schema_finds_a_fault(kind: str, path: tuple[Any, ...], value: Any) -> None:
    wrong = copy.deepcopy(next(iter(of_kind(kind).values())))
    *way, last = path
    place = wrong
    for step in way:
        place = place[step]
    place[last] = value
    assert str(last) in faults(wrong) or str(value) in faults(wrong)


def test_a_container_says_what_it_needs_and_is_asked_how_it_is() -> None:
    for _, container in each_container():
        wanted = container["resources"]
        assert set(wanted["requests"]) == {"cpu", "memory"}
        assert mebibytes(wanted["requests"]["memory"]) <= mebibytes(wanted["limits"]["memory"])
        named = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in named


def test_a_container_may_not_become_more_than_it_is() -> None:
    for deployment, container in each_container():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert deployment["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_collector_is_the_one_of_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (collector,) = containers(of_kind("Deployment")["cancel-otel-collector"])
    assert collector["image"] == compose["services"]["collector"]["image"]


def test_the_proxys_image_is_the_one_that_the_dockerfile_makes() -> None:
    dockerfile = (ROOT / "deploy/proxy/Dockerfile").read_text()
    litellm = re.search(r"^FROM \S+:v(\S+)$", dockerfile, re.MULTILINE)
    wheel = re.search(r"^COPY litellm_cancel_otel-(\S+?)-py3", dockerfile, re.MULTILINE)
    assert litellm
    assert wheel
    image = f"litellm-proxy-cancel-otel:{litellm[1]}-{wheel[1]}"
    (proxy,) = containers(of_kind("Deployment")["litellm-proxy"])
    assert proxy["image"] == image
    assert f"-t {image}" in PAGE


def test_a_file_that_is_named_in_the_arguments_is_mounted_there() -> None:
    for deployment, container in each_container():
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        (volume,) = [one for one in volumes if "configMap" in one]
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
        held = of_kind("ConfigMap")[volume["configMap"]["name"]]["data"]
        named = re.findall(r"/etc/\S+\.yaml", " ".join(container["args"]))
        assert mount["readOnly"] is True
        assert named == [f"{mount['mountPath']}/{name}" for name in held]


def test_the_collectors_queue_can_be_written() -> None:
    deployment = of_kind("Deployment")["cancel-otel-collector"]
    (collector,) = containers(deployment)
    directory = GATEWAY["extensions"]["file_storage"]["directory"]
    (mount,) = [one for one in collector["volumeMounts"] if one["mountPath"] in directory]
    assert not mount.get("readOnly")
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert "emptyDir" in volume
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


def test_what_is_held_for_the_collector_and_the_proxy_is_what_stands_in_their_folders() -> None:
    held = {
        name: text for one in of_kind("ConfigMap").values() for name, text in one["data"].items()
    }
    assert held["gateway.yaml"] == (ROOT / "deploy/collector/gateway.yaml").read_text()
    assert held["kubernetes.yaml"] == OVERLAY
    assert held["config.yaml"] == CONFIG


def test_the_collector_is_given_each_variable_of_its_configuration() -> None:
    (collector,) = containers(of_kind("Deployment")["cancel-otel-collector"])
    asked = set(re.findall(r"\$\{env:(\w+)\}", OVERLAY))
    assert asked == set(environment(collector)) - {"GOMEMLIMIT"}
    assert set(yaml.safe_load(OVERLAY)["exporters"]) == set(GATEWAY["exporters"])


def test_the_collector_keeps_below_its_limit_and_ends_after_its_last_decision() -> None:
    deployment = of_kind("Deployment")["cancel-otel-collector"]
    (collector,) = containers(deployment)
    limit = mebibytes(collector["resources"]["limits"]["memory"])
    share = mebibytes(environment(collector)["GOMEMLIMIT"]) / limit
    percent = GATEWAY["processors"]["memory_limiter"]["limit_percentage"]
    assert percent / 100 - 0.05 < share <= percent / 100
    wait = GATEWAY["processors"]["tail_sampling"]["decision_wait"]
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert int(wait.removesuffix("s")) < grace


def test_the_collectors_ports_are_those_of_its_configuration() -> None:
    def port(endpoint: str) -> int:
        return int(endpoint.rpartition(":")[2])

    protocols = GATEWAY["receivers"]["otlp"]["protocols"]
    (reader,) = GATEWAY["service"]["telemetry"]["metrics"]["readers"]
    assert ports(of_kind("Deployment")["cancel-otel-collector"]) == {
        "otlp-grpc": port(protocols["grpc"]["endpoint"]),
        "otlp-http": port(protocols["http"]["endpoint"]),
        "own-metrics": reader["pull"]["exporter"]["prometheus"]["port"],
        "health": port(GATEWAY["extensions"]["health_check"]["endpoint"]),
    }


def test_a_service_leads_to_ports_of_the_pods_that_it_selects() -> None:
    for service in of_kind("Service").values():
        (deployment,) = selected(service["spec"]["selector"])
        assert deployment["metadata"]["namespace"] == service["metadata"]["namespace"]
        for port in service["spec"]["ports"]:
            assert ports(deployment)[port["targetPort"]] == port["port"]


def test_no_service_sets_what_reads_as_a_setting_of_this_package() -> None:
    for name in of_kind("Service"):
        assert not f"{name}-".upper().replace("-", "_").startswith(PREFIX)


def test_what_prometheus_scrapes_is_served_by_the_pods_and_named_by_the_service() -> None:
    found = {}
    for name, monitor in of_kind("PodMonitor").items():
        (deployment,) = selected(monitor["spec"]["selector"]["matchLabels"])
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in ports(deployment)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels[monitor["spec"]["jobLabel"]] == deployment["metadata"]["name"]
        found[name] = deployment["metadata"]
        elsewhere = deployment["metadata"]["namespace"] != monitor["metadata"]["namespace"]
        assert monitor["spec"].get("namespaceSelector", {}).get("any", False) is elsewhere
    assert set(found) == {"litellm-cancel-otel", "cancel-otel-collector"}


def test_the_proxy_serves_its_metrics_and_sends_its_traces_to_the_collector() -> None:
    deployment = of_kind("Deployment")["litellm-proxy"]
    (proxy,) = containers(deployment)
    told = environment(proxy)
    assert told["OTEL_METRICS_EXPORTER"] == "prometheus"
    assert told["OTEL_EXPORTER_PROMETHEUS_HOST"] == "0.0.0.0"
    assert int(told["OTEL_EXPORTER_PROMETHEUS_PORT"]) == ports(deployment)["otel-metrics"]
    assert told["OTEL_TRACES_EXPORTER"] == "otlp"
    assert told["OTEL_SERVICE_NAME"] == deployment["metadata"]["name"]
    url = urlsplit(told["OTEL_EXPORTER_OTLP_ENDPOINT"])
    name, _, namespace = (url.hostname or "").partition(".")
    service = of_kind("Service")[name]
    assert service["metadata"]["namespace"] == namespace
    assert url.port in {port["port"] for port in service["spec"]["ports"]}


def test_the_proxy_has_one_worker_on_the_port_that_is_named() -> None:
    deployment = of_kind("Deployment")["litellm-proxy"]
    (proxy,) = containers(deployment)
    args = proxy["args"]
    assert args[args.index("--num_workers") + 1] == "1"
    assert int(args[args.index("--port") + 1]) == ports(deployment)["http"]


def test_the_page_says_how_the_secret_with_all_variables_of_the_config_is_made() -> None:
    (proxy,) = containers(of_kind("Deployment")["litellm-proxy"])
    (source,) = proxy["envFrom"]
    command = re.search(r"^kubectl create secret generic (\S+) (?:.*\\\n)*.*$", PAGE, re.MULTILINE)
    assert command
    assert command[1] == source["secretRef"]["name"]
    given = set(re.findall(r"--from-literal=(\w+)=", command[0]))
    assert given == set(re.findall(r"os\.environ/(\w+)", CONFIG))


def test_the_rules_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--format", "kubernetes"]) == 0
    (rule,) = of_kind("PrometheusRule").values()
    printed = yaml.safe_load(capsys.readouterr().out)
    assert rule["spec"] == printed["spec"]


def test_every_dashboard_is_in_a_config_map_of_its_own_that_the_sidecar_finds() -> None:
    found = {}
    for one in of_kind("ConfigMap").values():
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            ((name, content),) = one["data"].items()
            assert one["metadata"]["annotations"] == {"grafana_folder": "LiteLLM cancellations"}
            assert name == f"{one['metadata']['name']}.json"
            found[name.removeprefix("litellm-cancel-").removesuffix(".json")] = json.loads(content)
    assert found == boards()


def test_nothing_is_too_large_for_kubectl_apply() -> None:
    for one in resources():
        assert len(json.dumps(one)) < APPLIED_AT_MOST, one["metadata"]["name"]


def test_an_overlay_of_the_page_is_taken(tmp_path: Any) -> None:
    (overlay,) = re.findall(r"^```yaml\n(# kustomization.yaml\n.*?)^```$", PAGE, re.M | re.DOTALL)
    base = tmp_path / "litellm-cancel-otel"
    base.symlink_to(ROOT)
    here = tmp_path / "mine"
    here.mkdir()
    (here / "kustomization.yaml").write_text(overlay)
    ended = run([kubectl(), "kustomize", "mine"], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for one in yaml.safe_load_all(ended.stdout):
        assert one["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert faults(one) == ""
