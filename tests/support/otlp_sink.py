"""A receiver of OTLP on loopback, over HTTP and gRPC, that keeps what it is sent."""

import gzip
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
_SERVICES = {
    "/v1/traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "/v1/metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

Attributes = dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it arrived."""

    proto: Span
    scope: str
    resource: Attributes
    transport: str

    @property
    def name(self) -> str:
        return str(self.proto.name)

    @property
    def attributes(self) -> Attributes:
        return plain(self.proto.attributes)

    @property
    def events(self) -> dict[str, Attributes]:
        return {event.name: plain(event.attributes) for event in self.proto.events}

    @property
    def trace_id(self) -> str:
        return self.proto.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.proto.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.proto.parent_span_id.hex()


@dataclass(frozen=True)
class ReceivedMetric:
    """One metric of one export as it arrived."""

    proto: Metric
    scope: str
    resource: Attributes
    transport: str

    @property
    def name(self) -> str:
        return str(self.proto.name)

    @property
    def points(self) -> list[tuple[Attributes, Any]]:
        """Attributes and value of each point; of a histogram, the point itself is the value."""
        kind = self.proto.WhichOneof("data")
        points = getattr(self.proto, kind).data_points if kind else ()
        return [(plain(point.attributes), _value(point)) for point in points]


@dataclass
class OtlpSink:
    """``with OtlpSink() as sink``: point an exporter at one of its endpoints, then read it back."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: list[ReceivedMetric] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Paths that it does not take over HTTP, such as ``/v1/traces``."""

    def __enter__(self) -> Self:
        self._changed = threading.Condition()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        self._pool = ThreadPoolExecutor(4)
        self._grpc = grpc.server(self._pool)
        self._grpc.add_generic_rpc_handlers([self._service(path) for path in _SERVICES])
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._grpc.stop(None).wait()
        self._pool.shutdown()

    @property
    def http_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._grpc_port}"

    def endpoint(self, protocol: str) -> str:
        """Return the endpoint for a value of OTEL_EXPORTER_OTLP_PROTOCOL."""
        return {"grpc": self.grpc_endpoint, "http/protobuf": self.http_endpoint}[protocol]

    def env(self, protocol: str) -> dict[str, str]:
        """Return the variables that send everything here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint(protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }

    def wait_for(self, condition: Callable[["OtlpSink"], object], backstop: float = 30) -> None:
        """Wait until what has arrived fulfils the condition."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), backstop):
                spans = dict(Counter(span.name for span in self.spans))
                metrics = dict(Counter(metric.name for metric in self.metrics))
                raise AssertionError(f"after {backstop} s there are {spans=}, {metrics=}")

    def take(self, request: Any, transport: str) -> None:
        with self._changed:
            if isinstance(request, ExportTraceServiceRequest):
                for of in request.resource_spans:
                    about = (plain(of.resource.attributes), transport)
                    for part in of.scope_spans:
                        for span in part.spans:
                            self.spans.append(ReceivedSpan(span, part.scope.name, *about))
            else:
                for of in request.resource_metrics:
                    about = (plain(of.resource.attributes), transport)
                    for part in of.scope_metrics:
                        for metric in part.metrics:
                            self.metrics.append(ReceivedMetric(metric, part.scope.name, *about))
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                # Langfuse's stands at a path of its own, which ends as OTLP's.
                asked = next((path for path in _REQUESTS if self.path.endswith(path)), "")
                if not asked or self.path in sink.refused:
                    self.send_error(404)
                    return
                sink.take(_REQUESTS[asked].FromString(body), "http")
                self.send_response(200)  # an empty body is an empty response message
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _service(self, path: str) -> Any:
        def export(request: Any, context: object) -> bytes:
            self.take(request, "grpc")
            return b""  # an empty response message

        method = grpc.unary_unary_rpc_method_handler(export, _REQUESTS[path].FromString)
        return grpc.method_handlers_generic_handler(_SERVICES[path], {"Export": method})


def plain(attributes: Iterable[KeyValue]) -> Attributes:
    """Return OTLP attributes as a dict of Python values."""
    return {item.key: _any(item.value) for item in attributes}


def _any(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_any(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _value(point: Any) -> Any:
    if hasattr(point, "bucket_counts") or hasattr(point, "scale"):
        return point
    return getattr(point, point.WhichOneof("value"))
