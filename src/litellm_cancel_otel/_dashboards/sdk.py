"""What we use of grafana-foundation-sdk, imported in one place."""

import warnings

with warnings.catch_warnings():
    # It would rather have dashboards of schema v2, which Grafana 11 cannot read.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        table,
        tempo,
        timeseries,
    )
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import (
        common as common_models,
    )
    from grafana_foundation_sdk.models import (
        dashboard as models,
    )
    from grafana_foundation_sdk.models import (
        heatmap as heatmap_models,
    )
    from grafana_foundation_sdk.models import (
        prometheus as prometheus_models,
    )
    from grafana_foundation_sdk.models import (
        tempo as tempo_models,
    )

__all__ = [
    "Builder",
    "JSONEncoder",
    "common",
    "common_models",
    "dashboard",
    "heatmap",
    "heatmap_models",
    "models",
    "prometheus",
    "prometheus_models",
    "stat",
    "table",
    "tempo",
    "tempo_models",
    "timeseries",
]
