# The demo, and with it the command line: `docker build -t litellm-cancel-otel-demo .`
FROM python:3.13.5-slim-bookworm AS build
WORKDIR /source
COPY requirements/demo.txt requirements/demo.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes \
    -r requirements/demo.txt -c requirements/demo.txt
COPY pyproject.toml README.md LICENSE ./
COPY grafana/alerting grafana/alerting
COPY grafana/dashboards grafana/dashboards
COPY grafana/prometheus grafana/prometheus
COPY deploy/kubernetes/prometheus-rule.yaml deploy/kubernetes/prometheus-rule.yaml
COPY src src
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13.5-slim-bookworm
RUN useradd --uid 10002 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin demo
COPY --from=build /venv /venv
# The fake providers need no price list from the network.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LITELLM_LOCAL_MODEL_COST_MAP=True
USER 10002:10002
ENTRYPOINT ["litellm-cancel-otel"]
CMD ["demo"]
