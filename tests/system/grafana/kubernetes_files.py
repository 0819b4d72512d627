"""What `kubectl kustomize` makes of the cluster's files, and the schemas that it must pass."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from grafana_stack import ROOT, missing, program

from support import children

WATCHING = ROOT / "deploy" / "kubernetes"
PROXY = WATCHING / "proxy"
Resource = dict[str, Any]


def kubectl() -> str:
    """Return the path of kubectl: of this environment, which has one where a wheel carries it."""
    installed = Path(sys.executable).with_name("kubectl")
    return str(installed) if installed.exists() else program("kubectl")


@cache
def rendered(folder: str) -> tuple[Resource, ...]:
    """Return the resources of a kustomization."""
    ended = children.run([kubectl(), "kustomize", folder])
    assert ended.returncode == 0, ended.stderr
    return tuple(yaml.safe_load_all(ended.stdout))


def resources() -> list[Resource]:
    """Return every resource of the cluster."""
    return [*rendered(str(WATCHING)), *rendered(str(PROXY))]


def of_kind(kind: str) -> dict[str, Resource]:
    """Return the resources of a kind by name."""
    return {one["metadata"]["name"]: one for one in resources() if one["kind"] == kind}


def faults(resource: Resource) -> str:
    """Return what the schema of a resource's kind finds wrong, or nothing; no field is unknown."""
    try:
        import kubernetes_validate
        import pydantic
        from cloudcoil.models.prometheus_operator import v1
    except ModuleNotFoundError as exc:
        missing(f"{exc.name} is not installed")
    if resource["apiVersion"] == "monitoring.coreos.com/v1":
        model = getattr(v1, resource["kind"])
        try:
            model.model_validate(resource, extra="forbid")
        except pydantic.ValidationError as exc:
            return str(exc)
        return ""
    try:
        newest = kubernetes_validate.latest_version()
        kubernetes_validate.validate(resource, newest, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as exc:
        return str(exc)
    return ""


def containers(deployment: Resource) -> list[Resource]:
    """Return the containers of a deployment."""
    found: list[Resource] = deployment["spec"]["template"]["spec"]["containers"]
    return found


def environment(container: Resource) -> dict[str, str]:
    """Return the variables whose values stand in the file."""
    return {one["name"]: one["value"] for one in container.get("env", ())}


def ports(deployment: Resource) -> dict[str, int]:
    """Return a deployment's ports by name."""
    return {
        port["name"]: port["containerPort"]
        for container in containers(deployment)
        for port in container["ports"]
    }


def selected(selector: Resource) -> list[Resource]:
    """Return the deployments whose pods have a selector's labels."""
    found = []
    for deployment in of_kind("Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        if selector.items() <= labels.items():
            found.append(deployment)
    return found


def mebibytes(amount: str) -> int:
    """Return an amount of memory such as 512Mi, 1Gi or Go's 400MiB."""
    found = re.fullmatch(r"(\d+)([MG])iB?", amount)
    assert found, amount
    return int(found[1]) * {"M": 1, "G": 1024}[found[2]]
