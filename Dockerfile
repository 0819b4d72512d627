# The demo, and with it the command line: `docker build -t litellm-cancel-otel-demo .`
FROM python:3.13.5-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY grafana/dashboards grafana/dashboards
COPY src src
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir '.[demo,prometheus]'

FROM python:3.13.5-slim-bookworm
RUN useradd --uid 10002 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin demo
COPY --from=build /venv /venv
# The fake providers need no price list from the network.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LITELLM_LOCAL_MODEL_COST_MAP=True
USER 10002:10002
ENTRYPOINT ["litellm-cancel-otel"]
CMD ["demo"]
