"""Dashboards, recording rules and alerts as code, and the commands that hand the results out.

Users need only ``command``, ``rules_command`` and ``shipped``. The rest builds the files in
``grafana/`` and ``deploy/kubernetes/`` from the names in ``_contract.semconv`` and needs the
development dependencies: ``python -m litellm_cancel_otel._dashboards``.
"""
