"""OpenTelemetry: a span for each answer and one for each of its stages, where an endpoint is configured; else nothing.

The standard variables say where to (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME`` and so on). A caller's
``traceparent`` is taken up, so that an answer hangs where it was asked for. No span holds anything that was sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final, final

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_ORDER: Final = ("read", "decode", "prepare", "queue", "compute")


@final
class Tracing:
    """Makes spans, and hands them to a thread that sends them."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = os.environ.get("OTEL_SERVICE_NAME", "throughline")
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("throughline")
        self._context = TraceContextTextMapPropagator()

    def answered(
        self, model: str, version: str, protocol: str, stages: Mapping[str, float], parent: str | None
    ) -> None:
        """Note an answer that was just given, and where its seconds went."""
        from opentelemetry import trace

        end = time.time_ns()
        began = end - int(stages.get("all", 0.0) * 1e9)
        above: Any = self._context.extract({"traceparent": parent}) if parent else None
        about = {"model": model, "model.version": version, "protocol": protocol}
        span = self._tracer.start_span("infer", context=above, start_time=began, attributes=about)
        inside, at = trace.set_span_in_context(span), began
        for stage in _ORDER:
            if stage in stages:
                until = at + int(stages[stage] * 1e9)
                self._tracer.start_span(stage, context=inside, start_time=at).end(until)
                at = until
        span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def tracing() -> Tracing | None:
    """Where the environment names an endpoint."""
    return Tracing() if any(os.environ.get(name) for name in _ENDPOINTS) else None
