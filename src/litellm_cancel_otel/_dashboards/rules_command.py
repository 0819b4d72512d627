"""``litellm-cancel-otel rules``: hands out the recording rules and alerts that are shipped."""

import argparse
from pathlib import Path
from typing import Final

from .shipped import hand_out, shipped

HELP = "print the recording rules and alerts as YAML"

FORMATS: Final = {
    "prometheus": ("grafana/prometheus/recording-rules.yml", "grafana/prometheus/alert-rules.yml"),
    "kubernetes": ("deploy/kubernetes/prometheus-rule.yaml",),
    "grafana": ("grafana/alerting/alert-rules.yml",),
}
"""The built files that each format is made of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="prometheus",
        help="a rule file of Prometheus (the default), a PrometheusRule of the Prometheus "
        "operator, or Grafana-managed alerts",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write them to a file")
    parser.add_argument("--force", action="store_true", help="overwrite the file if there is one")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status."""
    first, *more = (shipped(path).read_text(encoding="utf-8") for path in FORMATS[args.format])
    content = first + "".join(text.partition("\ngroups:\n")[2] for text in more)
    return hand_out("rules", content, args.out, force=args.force)
