"""The stack's files fit together, as far as that can be seen without starting Docker."""

import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from grafana_stack import ROOT, missing, program

from support import children

COMPOSE = ROOT / "docker-compose.yml"
DEPLOY = ROOT / "deploy"
GRAFANA = ROOT / "grafana"

IMAGES = {
    "collector": "otel/opentelemetry-collector-contrib:0.161.0",
    "prometheus": "prom/prometheus:v3.14.0",
    "tempo": "grafana/tempo:3.0.3",
    "grafana": "grafana/grafana:13.2.3",
    "alertmanager": "prom/alertmanager:v0.34.1",
}


def load(path: Path) -> Any:
    """Return what is in a YAML file."""
    return yaml.safe_load(path.read_text())


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the stack."""
    found: dict[str, dict[str, Any]] = load(COMPOSE)["services"]
    return found


SERVICES = services()
LONG_RUNNING = {name: one for name, one in SERVICES.items() if one.get("restart")}
MOUNTS = [
    (name, mount)
    for name, one in SERVICES.items()
    for mount in one.get("volumes", ())
    if mount.startswith(".")
]


def test_it_is_a_compose_file(tmp_path: Path) -> None:
    if find_spec("check_jsonschema") is None:
        missing("check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    ended = children.run(command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_pinned_by_exact_tag(name: str) -> None:
    assert SERVICES[name]["image"] == IMAGES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_of_others_is_one_of_these_and_the_rest_is_built_here(name: str) -> None:
    assert name in IMAGES or SERVICES[name]["build"] == "."


@pytest.mark.parametrize("name", SERVICES)
def test_its_memory_is_limited(name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_somebody_asks_how_it_is(name: str) -> None:
    asked_from = name if "healthcheck" in SERVICES[name] else f"{name}-health"
    assert SERVICES[asked_from]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_its_ports_are_on_loopback_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_every_mounted_file_exists() -> None:
    assert MOUNTS
    for _, mount in MOUNTS:
        assert (ROOT / mount.split(":")[0]).exists(), mount


@pytest.mark.parametrize(("name", "mount"), MOUNTS)
def test_files_of_ours_are_mounted_to_be_read_only(name: str, mount: str) -> None:
    assert mount.endswith(":ro")


@pytest.mark.parametrize("name", SERVICES)
def test_a_file_named_in_a_command_is_mounted_there(name: str) -> None:
    inside = [mount.split(":")[1] for mount in SERVICES[name].get("volumes", ())]
    for word in SERVICES[name].get("command", ()):
        if found := re.search(r"config(?:\.file)?=(/\S+)", word):
            assert found[1] in inside


def test_every_volume_is_declared_and_used() -> None:
    used = {
        mount.split(":")[0]
        for one in SERVICES.values()
        for mount in one.get("volumes", ())
        if not mount.startswith(".")
    }
    assert used == set(load(COMPOSE)["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_waits_for_can_come_to_pass(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        match how["condition"]:
            case "service_healthy":
                assert "healthcheck" in SERVICES[other]
            case "service_completed_successfully":
                assert not SERVICES[other].get("restart")
            case condition:
                assert condition == "service_started"
                assert other in SERVICES


def test_nobody_can_log_in_to_grafana() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Editor"
    assert "password" not in COMPOSE.read_text().lower().replace("nothing has a password", "")


def _listens() -> set[tuple[str, int]]:
    """Return the host and port of everything that the files make listen."""
    gateway = load(DEPLOY / "collector" / "gateway.yaml")
    protocols = gateway["receivers"]["otlp"]["protocols"].values()
    collector = {int(one["endpoint"].rpartition(":")[2]) for one in protocols}
    reader = gateway["service"]["telemetry"]["metrics"]["readers"][0]
    collector.add(reader["pull"]["exporter"]["prometheus"]["port"])
    tempo = load(DEPLOY / "tempo" / "tempo.yaml")
    grpc = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    return {
        *(("collector", port) for port in collector),
        ("tempo", tempo["server"]["http_listen_port"]),
        ("tempo", int(grpc.rpartition(":")[2])),
        ("prometheus", 9090),
        ("alertmanager", 9093),
    }


def _addresses() -> dict[str, tuple[str, int]]:
    """Return every address that one part of the stack is given of another."""
    gateway = load(DEPLOY / "collector" / "gateway.yaml")["exporters"]
    prometheus = load(DEPLOY / "prometheus" / "prometheus.yml")
    (alertmanagers,) = prometheus["alerting"]["alertmanagers"]
    found = {
        "traces": gateway["otlp_grpc/tempo"]["endpoint"],
        "metrics": gateway["otlp_http/prometheus"]["endpoint"],
        "alerts": alertmanagers["static_configs"][0]["targets"][0],
        "scrape": prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0],
        "demo": SERVICES["demo"]["command"][SERVICES["demo"]["command"].index("--otlp") + 1],
    }
    sources = load(GRAFANA / "provisioning" / "datasources" / "datasources.yml")["datasources"]
    found |= {f"datasource {source['uid']}": source["url"] for source in sources}
    split = {name: urlsplit(a if "//" in a else f"//{a}") for name, a in found.items()}
    return {name: (str(one.hostname), int(one.port or 0)) for name, one in split.items()}


@pytest.mark.parametrize("name", _addresses())
def test_an_address_is_one_that_somebody_listens_on(name: str) -> None:
    assert _addresses()[name] in _listens()


def test_published_ports_are_ones_that_somebody_listens_on() -> None:
    listens = {*_listens(), ("grafana", 3000)}
    for name, one in SERVICES.items():
        for port in one.get("ports", ()):
            assert (name, int(port.rpartition(":")[2])) in listens


def test_prometheus_takes_what_the_collector_sends() -> None:
    endpoint = load(DEPLOY / "collector" / "gateway.yaml")["exporters"]["otlp_http/prometheus"]
    assert urlsplit(endpoint["endpoint"]).path == "/api/v1/otlp"
    assert "--web.enable-otlp-receiver" in SERVICES["prometheus"]["command"]


def test_prometheus_is_given_no_flag_that_it_calls_deprecated() -> None:
    flags = [word.partition("=")[0] for word in SERVICES["prometheus"]["command"]]
    assert not [flag for flag in flags if flag.startswith("--storage.tsdb.retention")]


def test_the_collectors_queue_is_on_a_volume() -> None:
    directory = load(DEPLOY / "collector" / "gateway.yaml")["extensions"]["file_storage"]
    volumes = [m for m in SERVICES["collector"]["volumes"] if not m.startswith(".")]
    (inside,) = [mount.split(":")[1] for mount in volumes]
    assert f":-{inside}/" in directory["directory"]
    assert inside in SERVICES["volumes"]["entrypoint"]


def test_prometheus_finds_the_rules() -> None:
    inside = {m.split(":")[1]: m.split(":")[0] for m in SERVICES["prometheus"]["volumes"]}
    for path in load(DEPLOY / "prometheus" / "prometheus.yml")["rule_files"]:
        folder, name = path.rsplit("/", 1)
        assert (ROOT / inside[folder] / name).exists()


def test_promtool_takes_prometheus_configuration(tmp_path: Path) -> None:
    content = load(DEPLOY / "prometheus" / "prometheus.yml")
    # Debian's is older than the OTLP receiver and retention in the file; the rest it knows.
    assert content.pop("otlp") == {"translation_strategy": "UnderscoreEscapingWithSuffixes"}
    assert content["storage"]["tsdb"].pop("retention") == {"time": "15d", "size": "4GB"}
    content["rule_files"] = [str(path) for path in (GRAFANA / "prometheus").glob("*-rules.yml")]
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(content))
    command = [program("promtool", "prometheus"), "check", "config", str(config)]
    ended = children.run(command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_amtool_takes_alertmanagers_configuration() -> None:
    config = DEPLOY / "alertmanager" / "alertmanager.yml"
    command = [program("amtool", "prometheus-alertmanager"), "check-config", str(config)]
    ended = children.run(command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_grafana_finds_the_dashboards() -> None:
    inside = {m.split(":")[1]: m.split(":")[0] for m in SERVICES["grafana"]["volumes"]}
    (provider,) = load(GRAFANA / "provisioning" / "dashboards" / "dashboards.yml")["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    shipped = ROOT / inside[provider["options"]["path"]]
    assert home.startswith(provider["options"]["path"])
    assert (shipped / home.rsplit("/", 1)[1]).exists()


def test_exemplars_lead_to_tempo() -> None:
    sources = load(GRAFANA / "provisioning" / "datasources" / "datasources.yml")["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    (link,) = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] == "trace_id"
    assert by_uid[link["datasourceUid"]]["type"] == "tempo"


def test_grafanas_alerts_ask_the_datasource_that_is_set_up() -> None:
    sources = load(GRAFANA / "provisioning" / "datasources" / "datasources.yml")["datasources"]
    uids = {source["uid"] for source in sources if source["type"] == "prometheus"}
    for rule in load(GRAFANA / "alerting" / "alert-rules.yml")["groups"][0]["rules"]:
        assert rule["data"][0]["datasourceUid"] in uids


def test_the_image_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert int(user.split(":")[0]) > 0
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)


def test_the_image_is_given_all_that_it_copies() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    given = (ROOT / ".dockerignore").read_text().splitlines()
    for path in copied:
        if not path.startswith(("-", "/")):
            assert (ROOT / path).exists()
            assert f"!{path}" in given


def test_the_image_is_installed_by_the_pinned_hashes_as_the_readme_does() -> None:
    readme = re.search(
        r"pip install -q (--require-hashes .*?) &&", (ROOT / "README.md").read_text()
    )
    assert readme
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    installs = re.findall(r"pip install --no-cache-dir (.*)", dockerfile)
    assert [" ".join(one.split()) for one in installs] == [readme[1], "--no-deps ."]


def test_the_image_is_given_all_that_the_wheel_is_made_of() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wanted = [*targets["targets"]["wheel"]["force-include"], "src", "README.md", "LICENSE"]
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {*wanted, "pyproject.toml"} <= set(" ".join(copied).split())


def test_the_demo_is_called_as_its_command_line_wants() -> None:
    from litellm_cancel_otel._cli import _parser

    args = _parser().parse_args(SERVICES["demo"]["command"])
    assert args.command == "demo"
    asked = " ".join(SERVICES["demo"]["healthcheck"]["test"])
    assert f"127.0.0.1:{args.prometheus}/" in asked


def test_a_health_check_in_python_is_python() -> None:
    for one in SERVICES.values():
        command = one.get("healthcheck", {}).get("test", ())
        if "python" in command:
            compile(command[-1], "healthcheck", "exec")
