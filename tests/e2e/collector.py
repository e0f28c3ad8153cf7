"""A collector of traces: what OTLP over HTTP sends, kept as it came."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 60.0
"""Software emulation on a busy machine; this only ends what hangs."""


class Collector:
    """Where spans arrive."""

    def __init__(self) -> None:
        self._arrival = threading.Condition()
        self._spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrival:
            self.paths.add(path)
            for resource in request.resource_spans:
                for fact in resource.resource.attributes:
                    if fact.key == "service.name":
                        self.services.add(fact.value.string_value)
                for scope in resource.scope_spans:
                    self._spans.extend(scope.spans)
            self._arrival.notify_all()

    def wait_for(self, name: str) -> list[Span]:
        """Return all spans once one of this name is among them."""
        with self._arrival:
            there = self._arrival.wait_for(
                lambda: any(span.name == name for span in self._spans), PATIENCE_S
            )
            assert there, f"no {name!r} among {[span.name for span in self._spans]}"
            return list(self._spans)


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """Yield a collector, and its URL."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
