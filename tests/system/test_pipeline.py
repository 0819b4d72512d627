"""Where telemetry goes: each case in a process of its own, for the providers are the process's."""

import json
import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import EXPORTED
from litellm_cancel_otel._telemetry.pipeline import shown_address, without_secrets
from support import children
from support.otlp_sink import OtlpSink

PROTOCOLS = ("http/protobuf", "grpc")
BACKSTOP = 9
"""Seconds; the SDK by itself takes 12 to 31 to give up on a collector that does not answer."""

IMPORT = "from litellm_cancel_otel._telemetry import pipeline as exports\n"

RECORD = """
span = pipeline.tracer_provider.get_tracer("scope").start_span("span", attributes={"answer": 42})
span.end()
counter = pipeline.meter_provider.get_meter("scope").create_counter("counter")
counter.add(7, {"colour": "red"})
"""


def child(code: str, *paths: Path, **environ: str) -> children.Ended[str]:
    """Run code that uses ``exports``, alone, so that a child does not load litellm too."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    places = [*map(str, paths), *filter(None, [inherited.get("PYTHONPATH")])]
    ended = children.run(
        [
            sys.executable,
            "-c",
            "from litellm_cancel_otel._telemetry import pipeline as exports\n"
            + textwrap.dedent(code),
        ],
        env=inherited | {"PYTHONPATH": os.pathsep.join(places)} | environ,
        timeout=BACKSTOP,
    )
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def hole() -> Iterator[str]:
    """Yield the endpoint of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_recorded_right_before_the_exit_arrives(sink: OtlpSink, protocol: str) -> None:
    ended = child(
        "pipeline = exports.resolve()" + RECORD + "print(f'{span.context.trace_id:032x}')",
        OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        **sink.env(protocol),
    )
    assert ended.stderr == ""
    (span,) = sink.spans
    assert (span.name, span.scope, span.attributes) == ("span", "scope", {"answer": 42})
    assert span.trace_id == ended.stdout.strip()
    (metric,) = sink.metrics
    assert (metric.name, metric.scope) == ("counter", "scope")
    assert metric.points == [({"colour": "red"}, 7)]
    for item in (span, metric):
        assert item.transport == protocol.partition("/")[0]
        assert item.resource["service.name"] == "shop"
        assert item.resource["deployment.environment.name"] == "test"
    instance = span.resource["service.instance.id"]
    assert len(instance) == 36
    assert metric.resource["service.instance.id"] == instance


def test_what_the_sdk_counts_of_its_own_spans_goes_the_same_way(sink: OtlpSink) -> None:
    child(
        "pipeline = exports.resolve()" + RECORD,
        OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="true",
        **sink.env("http/protobuf"),
    )
    names = {metric.name for metric in sink.metrics}
    assert {"otel.sdk.span.started", "otel.sdk.processor.span.queue.size"} <= names


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_that_nobody_took_are_counted_where_metrics_still_go(
    sink: OtlpSink, protocol: str
) -> None:
    child(
        "pipeline = exports.resolve()" + RECORD + "pipeline.flush()",
        OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="true",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        **sink.env(protocol),
    )
    (lost,) = [
        count
        for metric in sink.metrics
        if metric.name == EXPORTED.name
        for attributes, count in metric.points
        if attributes.get(sc.ERROR_TYPE)
    ][-1:]
    assert lost == 1


def test_a_process_that_ends_by_itself_says_that_it_stopped(sink: OtlpSink) -> None:
    child(
        """
        from litellm_cancel_otel._contract.faults import Faults
        from litellm_cancel_otel._telemetry.instruments import Instruments

        pipeline = exports.resolve()
        keep = Instruments(pipeline.meter_provider, "1", Faults(), max_models=1)
        """,
        **sink.env("http/protobuf"),
    )
    (last,) = [metric for metric in sink.metrics if metric.name == sc.INTERNAL_ERRORS.name]
    assert {attributes[sc.SEAM] for attributes, _ in last.points} == {sc.NO_FAULT, sc.STOPPED}


def test_an_instance_id_of_the_operators_is_kept(sink: OtlpSink) -> None:
    child(
        "pipeline = exports.resolve()" + RECORD,
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=pod-1",
        **sink.env("http/protobuf"),
    )
    assert sink.spans[0].resource["service.instance.id"] == "pod-1"
    assert sink.metrics[0].resource["service.instance.id"] == "pod-1"


def test_each_signal_has_its_own_endpoint_and_protocol(sink: OtlpSink) -> None:
    child(
        "pipeline = exports.resolve()" + RECORD,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.grpc_endpoint,
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=sink.http_endpoint + "/v1/traces",
    )
    assert [span.transport for span in sink.spans] == ["http"]
    assert [metric.transport for metric in sink.metrics] == ["grpc"]


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317/"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com"}, "http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http/protobuf"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "http/protobuf",
        ),
    ],
)
def test_without_a_protocol_the_port_decides(environ: dict[str, str], wanted: str) -> None:
    assert child("print(exports._protocol('traces')[1])", **environ).stdout.strip() == wanted


def test_an_exporter_for_one_signal_alone(sink: OtlpSink) -> None:
    ended = child(
        "pipeline = exports.resolve()" + RECORD + "pipeline.tell_nowhere()",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=sink.http_endpoint + "/v1/traces",
    )
    assert len(sink.spans) == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("metrics go nowhere: ")
    assert line.endswith("OTEL_METRICS_EXPORTER=none")


def test_the_applications_providers_come_before_the_environment(sink: OtlpSink) -> None:
    ended = child(
        """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        tracers, meters = TracerProvider(), MeterProvider()
        trace.set_tracer_provider(tracers)
        pipeline = exports.resolve()
        print(pipeline.tracer_provider is tracers, pipeline.meter_provider is meters)
        metrics.set_meter_provider(meters)
        again = exports.resolve()
        print(again.tracer_provider is tracers, again.meter_provider is meters)
        span = tracers.get_tracer("scope").start_span("span")
        print(again.flush(), again.shutdown())
        with_a_live_tracer = tracers.get_tracer("scope").start_span("later")
        print(with_a_live_tracer.is_recording())
        """,
        **sink.env("http/protobuf"),
    )
    assert ended.stdout.splitlines() == ["True False", "True True", "True True", "True"]
    assert sink.spans == []


def test_what_is_passed_comes_before_all(sink: OtlpSink) -> None:
    ended = child(
        """
        from opentelemetry import trace
        from opentelemetry.metrics import NoOpMeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        mine, meters = TracerProvider(), NoOpMeterProvider()
        pipeline = exports.resolve(mine, meters)
        print(pipeline.tracer_provider is mine, pipeline.meter_provider is meters)
        """
        + textwrap.indent(RECORD, " " * 8),
        **sink.env("http/protobuf"),
    )
    assert ended.stdout == "True True\n"
    assert ended.stderr == ""
    assert (sink.spans, sink.metrics) == ([], [])


def test_providers_of_ours_are_not_made_global(sink: OtlpSink) -> None:
    ended = child(
        """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.trace import TracerProvider
        pipeline = exports.resolve()
        tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
        print(type(tracers).__name__, type(meters).__name__)
        theirs = TracerProvider()
        trace.set_tracer_provider(theirs)
        print(trace.get_tracer_provider() is theirs)
        """,
        **sink.env("http/protobuf"),
    )
    assert ended.stdout.splitlines() == ["ProxyTracerProvider _ProxyMeterProvider", "True"]
    assert ended.stderr == ""


def test_where_there_is_neither_one_warning_and_a_later_provider_still_works() -> None:
    ended = child(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        pipeline = exports.resolve()
        print(pipeline.flush(), pipeline.shutdown())
        tracer = pipeline.tracer_provider.get_tracer("scope")
        print(tracer.start_span("span").is_recording())
        pipeline.tell_nowhere()
        trace.set_tracer_provider(TracerProvider())
        pipeline.tell_nowhere()
        print(tracer.start_span("span").is_recording())
        """
    )
    assert ended.stdout.splitlines() == ["True True", "False", "True"]
    line, later = ended.stderr.splitlines()
    assert line.startswith("traces and metrics go nowhere: ")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line
    assert later.startswith("metrics go nowhere: ")


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "TRUE"},
    ],
)
@pytest.mark.parametrize("endpoint", [True, False])
def test_what_is_switched_off_is_neither_sent_nor_warned_of(
    sink: OtlpSink, environ: dict[str, str], endpoint: bool
) -> None:
    if endpoint:
        environ = sink.env("grpc") | environ
    assert child("pipeline = exports.resolve()" + RECORD, **environ).stderr == ""
    assert (sink.spans, sink.metrics) == ([], [])


def test_a_list_of_exporters(sink: OtlpSink) -> None:
    ended = child(
        "pipeline = exports.resolve()" + RECORD,
        OTEL_TRACES_EXPORTER="console, otlp,otlp",
        OTEL_METRICS_EXPORTER="console",
        **sink.env("http/protobuf"),
    )
    assert '"answer": 42' in ended.stdout
    assert '"colour": "red"' in ended.stdout
    assert [span.name for span in sink.spans] == ["span"]
    assert sink.metrics == []


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "_TRACES_PROTOCOL is 'http/json'; it must be one of grpc, http/protobuf",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "zipkin-2"},
            "OTEL_TRACES_EXPORTER names 'zipkin-2'; here it may name console, none, otlp",
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "traces go nowhere: ValueError: "),
    ],
)
def test_what_cannot_be_understood_is_one_warning_and_the_rest_goes_on(
    sink: OtlpSink, environ: dict[str, str], warning: str
) -> None:
    ended = child("pipeline = exports.resolve()" + RECORD, **(sink.env("http/protobuf") | environ))
    (line,) = ended.stderr.splitlines()
    assert warning in line
    assert sink.spans == []
    assert [metric.name for metric in sink.metrics] == ["counter"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://collector:4318", "http://collector:4318"),
        ("collector:4317", "collector:4317"),
        (
            "https://user:secret@otlp.example.com:443/v1/traces",
            "https://otlp.example.com:443/v1/traces",
        ),
        ("user:secret@otlp.example.com:4317", "otlp.example.com:4317"),
        ("http://secret@host", "http://host"),
        ("http://host/v1?token=secret", "http://host/v1"),
        ("http://host/v1#secret", "http://host/v1"),
        ("http://host/?to=http://user:secret@other", "http://(hidden)"),
        ("http://[::1]:4318/v1", "http://[::1]:4318/v1"),
        ("http://user:sec/ret@host", "http://(hidden)"),
        ("http://user:sec#ret@host", "http://(hidden)"),
        ("http://us@er:secret@host", "http://host"),
        ("http://[secret", "http://(hidden)"),
    ],
)
def test_address_is_shown_without_what_may_be_a_secret(address: str, shown: str) -> None:
    assert shown_address(address) == shown


def test_text_is_shown_without_the_secrets_of_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:pass%20word@host/v1?key=opens")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=first-one,b=Bearer%20second")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
    told = without_secrets(
        "no (http://me:pass%20word@host/v1?key=opens), proxy https://u:any@proxy:1, pass word, "
        "url: /v1?key=opens, first-one, Bearer second, Bearer%20second: 30 s"
    )
    assert told == (
        "no (http://host/v1), proxy https://proxy:1, (hidden), "
        "url: /v1?(hidden), (hidden), (hidden), (hidden): 30 s"
    )


def test_warning_quotes_no_secret(sink: OtlpSink) -> None:
    ended = child(
        """
        import opentelemetry.exporter.otlp.proto.http.trace_exporter as theirs
        def fails(self):
            raise ValueError(os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] + " hunter2 letmein")
        import os
        theirs.OTLPSpanExporter.__init__ = fails
        pipeline = exports.resolve()
        """,
        **sink.env("http/protobuf"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://user:hunter2@host/v1/traces?token=letmein",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf",
    )
    assert "otlp_proto_http failed with ValueError: http://host/v1/traces" in ended.stderr
    for secret in ("hunter2", "letmein"):
        assert secret not in ended.stderr


def test_log_handler_that_raises_keeps_nothing_from_being_set_up(sink: OtlpSink) -> None:
    ended = child(
        """
        import logging
        class Raises(logging.Handler):
            def emit(self, record):
                raise RuntimeError("a handler of the application's")
        logging.getLogger().addHandler(Raises())
        pipeline = exports.resolve()
        """
        + textwrap.indent(RECORD, " " * 8),
        OTEL_TRACES_EXPORTER="zipkin-2,otlp",
        **sink.env("http/protobuf"),
    )
    assert ended.stderr == ""
    assert [span.name for span in sink.spans] == ["span"]


def test_one_bad_exporter_leaves_the_others_of_its_list(sink: OtlpSink) -> None:
    ended = child(
        "pipeline = exports.resolve()" + RECORD,
        OTEL_TRACES_EXPORTER="zipkin-2,otlp",
        **sink.env("http/protobuf"),
    )
    assert len(ended.stderr.splitlines()) == 1
    assert [span.name for span in sink.spans] == ["span"]


def test_a_package_that_is_not_installed_is_one_warning(sink: OtlpSink) -> None:
    ended = child(
        """
        found = exports.entry_points
        exports.entry_points = lambda group, **rest: found(
            group=group, **rest if rest.get("name") != "otlp_proto_grpc" else {"name": "?"})
        pipeline = exports.resolve()
        """
        + textwrap.indent(RECORD, " " * 8),
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
        **sink.env("http/protobuf"),
    )
    (line,) = ended.stderr.splitlines()
    assert "the package opentelemetry-exporter-otlp-proto-grpc is not installed" in line
    assert len(sink.metrics) == 1


def test_a_package_that_does_not_import_is_one_warning(sink: OtlpSink) -> None:
    ended = child(
        """
        import sys
        sys.modules["opentelemetry.exporter.otlp.proto.http.trace_exporter"] = None
        pipeline = exports.resolve()
        """
        + textwrap.indent(RECORD, " " * 8),
        **sink.env("http/protobuf"),
    )
    (line,) = ended.stderr.splitlines()
    assert "otlp_proto_http failed with ModuleNotFoundError" in line
    assert len(sink.metrics) == 1


def test_an_exporter_is_imported_only_where_it_is_wanted() -> None:
    ended = child(
        """
        import sys
        pipeline = exports.resolve()
        print([name for name in sys.modules if name == "grpc" or "otlp" in name])
        """,
        OTEL_TRACES_EXPORTER="console",
        OTEL_METRICS_EXPORTER="none",
    )
    assert ended.stdout == "[]\n"


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return a path with an installed package that registers an exporter and a reader."""
    about = tmp_path / "shop_exporter-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-exporter\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[opentelemetry_traces_exporter]\nshop = shop_exporter:Spans\n"
        "[opentelemetry_metrics_exporter]\nshop = shop_exporter:Reader\n"
    )
    (tmp_path / "shop_exporter.py").write_text(
        textwrap.dedent(
            """
            import json, os, threading
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader
            from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

            def tell(*what):
                os.write(1, json.dumps(what).encode() + b"\\n")  # one write: two threads tell

            class Spans(SpanExporter):
                def export(self, spans):
                    thread = threading.current_thread()
                    main = thread is threading.main_thread()
                    tell([span.name for span in spans], main)
                    return SpanExportResult.SUCCESS

            class Reader(InMemoryMetricReader):
                def shutdown(self, *args, **kwargs):
                    resource = self.get_metrics_data().resource_metrics[0]
                    tell(resource.scope_metrics[0].metrics[0].name)
            """
        )
    )
    return tmp_path


def test_an_installed_exporter_by_its_name_and_never_on_the_callers_thread(plugin: Path) -> None:
    ended = child(
        """
        import asyncio
        pipeline = exports.resolve()
        async def main():
            pipeline.tracer_provider.get_tracer("scope").start_span("span").end()
            pipeline.meter_provider.get_meter("scope").create_counter("counter").add(1)
            print(json.dumps(pipeline.flush()), flush=True)
            pipeline.tracer_provider.get_tracer("scope").start_span("last").end()
            pipeline.shutdown(0)
        import json
        asyncio.run(main())
        """,
        plugin,
        OTEL_TRACES_EXPORTER="shop",
        OTEL_METRICS_EXPORTER="shop",
    )
    lines: list[Any] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[:2] == [[["span"], False], True]
    assert sorted(lines[2:], key=str) == sorted([["counter"], [["last"], False]], key=str)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("spans", [1, pytest.param(1_500, marks=pytest.mark.long)])
def test_a_dead_collector_does_not_hold_up_the_exit(hole: str, protocol: str, spans: int) -> None:
    ended = child(
        f"""
        pipeline = exports.resolve()
        for number in range({spans}):
            pipeline.tracer_provider.get_tracer("scope").start_span("span").end()
        pipeline.meter_provider.get_meter("scope").create_counter("counter").add(1)
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=hole,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert "what was recorded last may be lost" in ended.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_waits_for_a_dead_collector_longer_than_he_wants(hole: str, protocol: str) -> None:
    ended = child(
        "pipeline = exports.resolve()"
        + RECORD
        + "print(pipeline.flush(50), pipeline.shutdown(0), pipeline.shutdown(50))",
        OTEL_EXPORTER_OTLP_ENDPOINT=hole,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert ended.stdout == "False False False\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_flush_delivers_while_the_process_goes_on(sink: OtlpSink, protocol: str) -> None:
    ended = child(
        "pipeline = exports.resolve()"
        + RECORD
        + "print(pipeline.flush(30_000), flush=True); import os; os._exit(0)",
        **sink.env(protocol),
    )
    assert ended.stdout == "True\n"
    assert [span.name for span in sink.spans] == ["span"]
    assert [metric.name for metric in sink.metrics] == ["counter"]


def test_a_second_shutdown_and_a_flush_after_it_do_nothing(sink: OtlpSink) -> None:
    ended = child(
        "pipeline = exports.resolve()"
        + RECORD
        + "print(pipeline.shutdown(30_000), pipeline.shutdown(), pipeline.flush())",
        **sink.env("http/protobuf"),
    )
    assert ended.stdout == "True True True\n"
    assert ended.stderr == ""
    assert [span.name for span in sink.spans] == ["span"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_forked_worker_delivers_its_own(sink: OtlpSink, protocol: str) -> None:
    ended = child(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork with threads
        pipeline = exports.resolve()
        tracer = pipeline.tracer_provider.get_tracer("scope")
        counter = pipeline.meter_provider.get_meter("scope").create_counter("counter")
        tracer.start_span("queued before the fork").end()
        workers = []
        for number in (1, 2):
            if not (worker := os.fork()):
                tracer.start_span(f"worker {number}").end()
                counter.add(number, {"worker": number})
                raise SystemExit
            workers.append(worker)
        for worker in workers:
            assert os.waitpid(worker, 0)[1] == 0
        """,
        **sink.env(protocol),
    )
    assert ended.stderr == ""
    names = ["queued before the fork", "worker 1", "worker 2"]
    assert sorted(span.name for span in sink.spans) == names
    points = [point for metric in sink.metrics for point in metric.points]
    assert sorted(points, key=str) == [({"worker": 1}, 1), ({"worker": 2}, 2)]
    if SERVICE_INSTANCE_ID in Resource.create().attributes:  # such an SDK renews it after a fork
        instances = {span.name: span.resource[SERVICE_INSTANCE_ID] for span in sink.spans}
        assert len(set(instances.values())) == 3
        assert {metric.resource[SERVICE_INSTANCE_ID] for metric in sink.metrics} == {
            instances["worker 1"],
            instances["worker 2"],
        }


def test_a_worker_forked_after_the_shutdown_exits_at_once(sink: OtlpSink) -> None:
    ended = child(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline = exports.resolve()
        pipeline.shutdown(0)
        if not (worker := os.fork()):
            print(pipeline.flush(), pipeline.shutdown())
            raise SystemExit
        assert os.waitpid(worker, 0)[1] == 0
        """,
        **sink.env("http/protobuf"),
    )
    assert ended.stdout == "True True\n"
    assert ended.stderr == ""
