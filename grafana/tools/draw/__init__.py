"""Draws the dashboards from their JSON and a Prometheus, where there is no Grafana to do it.

``python -m draw --prometheus http://127.0.0.1:9090 --out docs/images`` in ``grafana/tools`` asks
each panel's own expressions, lays the panels out as their JSON says, and has headless Chromium
take the picture. It knows the kinds of panel that are used here and no other, and is like Grafana
in layout, colours, units and scales, not in every pixel.
"""
