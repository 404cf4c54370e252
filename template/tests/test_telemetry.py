import re

import httpx2
import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace

from main import app


@pytest.mark.parametrize(("path", "route", "status"), [("/health/live", "/health/live", 200), ("/x", "unmatched", 404)])
def test_the_real_server_counts_requests_by_route(
    server: httpx2.Client, ports: dict[str, str], path: str, route: str, status: int
) -> None:
    def counted() -> float:
        metrics = httpx2.get(f"http://127.0.0.1:{ports['METRICS_PORT']}/metrics").text
        sample = rf'^http_requests_total{{method="GET",route="{route}",status="{status}"}} (.+)$'
        found = re.search(sample, metrics, re.M)
        return float(found[1]) if found else 0

    before = counted()
    for _ in range(5):
        assert server.get(path).status_code == status
    assert counted() == before + 5


def test_nothing_is_traced_unless_a_collector_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with TestClient(app) as client:
        client.get("/")
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
