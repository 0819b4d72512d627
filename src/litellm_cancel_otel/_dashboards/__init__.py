"""Dashboards, recording rules and alerts as code, and the command that hands the results out.

Only ``command`` is needed by users. The rest builds the files in ``grafana/`` from the names in
``_semconv`` and needs the development dependencies: ``python -m litellm_cancel_otel._dashboards``.
"""
