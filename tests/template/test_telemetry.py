"""Metrics and traces: what was asked is told exactly, whichever worker answered it and whatever became of it."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from asgi_quickstart import rendering
from asgi_quickstart.options import document

from ..promises import promise
from ..service import Service, clean_environment, eventually, write_service
from .processes import master

pytestmark = pytest.mark.slow

Record = Callable[[str, object], None]
ROUTE = "/api/outer/{name}/v1/inner/{number}"
ROUTES = """
import asyncio
import os
import time
from collections.abc import AsyncIterator
from fastapi import APIRouter, WebSocket
from fastapi.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

inner = APIRouter(prefix="/inner")

@inner.get("/{number}")
async def pid(number: int) -> int:
    time.sleep(0.005)  # busy, so that another worker takes the next one
    return os.getpid()

@inner.websocket("/{number}/socket")
async def echo(websocket: WebSocket, number: int) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())

outer = APIRouter(prefix="/outer/{name}")
outer.include_router(inner, prefix="/v1")
app.include_router(outer, prefix="/api")

@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield f"{os.getpid()}\\n"
        await asyncio.sleep(3600)
    return StreamingResponse(lines())

@app.get("/crash")
async def crash() -> None:
    raise RuntimeError("on purpose")

app.mount("/static", StaticFiles(directory="app"))
tenant = FastAPI()
tenant.add_api_route("/items/{number}", pid)
app.mount("/tenants/{name}", tenant)
app.mount("/shops/{name}", Starlette(routes=[Route("/of/{name}", lambda request: Response())]))
app.mount("/files/{name:path}/in", Starlette(routes=[Route("/{number}", lambda request: Response())]))
"""
LIVE = '    return Health(status="ok")\n\n\n@router.head("/health/ready"'


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Service:
    """A service that measures, with some routes more."""
    return measuring(tmp_path, request.param["server"])


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same, started with two workers."""
    service = measuring(tmp_path_factory.mktemp("telemetry"), request.param["server"])
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2"):
        yield service


def measuring(folder: Path, server: str) -> Service:
    service = write_service(folder / "service", server=server, telemetry="full")
    service.edit("main.py", "app.include_router(loans)\n", f"app.include_router(loans)\n{ROUTES}")
    # A metric of the owner's, made before anything of `serving` is imported.
    service.edit(
        "app/health.py", "\nrouter", '\nfrom prometheus_client import Counter\nASKED = Counter("asked", "Own")\nrouter'
    )
    service.edit("app/health.py", LIVE, f"    ASKED.inc()\n{LIVE}")
    return service


def metrics(service: Service) -> str:
    """What Prometheus gets."""
    response = httpx2.get(f"http://127.0.0.1:{service.metrics_port}/metrics", timeout=10, verify=False)
    assert response.status_code == 200
    return response.text


def total(service: Service, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics(service))
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def active(service: Service, kind: str) -> float:
    return total(service, "http_requests_in_progress", type=kind)


@contextmanager
def stream_from_a_worker(service: Service) -> Iterator[int]:
    """A stream that does not end, and the worker it comes from."""
    with httpx2.Client(base_url=service.url) as client, client.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        yield int(next(lines))


def ask_all_workers(service: Service, least: int = 100) -> tuple[int, list[int]]:
    """Ask on new connections until two workers have answered: how many answers, and the two."""
    answered, pids, deadline = 0, set[int](), time.monotonic() + 30

    def ask(_: int) -> int | None:
        try:
            return int(client.get("/api/outer/anna/v1/inner/1").text)
        except httpx2.TransportError:  # what a killed worker had in hand
            return None

    with httpx2.Client(base_url=service.url, headers={"Connection": "close"}) as client, ThreadPoolExecutor(8) as pool:
        while answered < least or len(pids) < 2:
            assert time.monotonic() < deadline, service.log[-3000:]
            answers = [pid for pid in pool.map(ask, range(10)) if pid]
            pids.update(answers)
            answered += len(answers)
    return answered, sorted(pids)


def slots(pid: int) -> Path:
    """The folder in which the worker counts."""
    links = [os.path.realpath(link) for link in Path(f"/proc/{pid}/fd").iterdir()]  # some are closed meanwhile
    return Path(next(link for link in links if link.endswith(".slot"))).parent


@promise("Metrics", fixture="measured")
def test_what_takes_long_is_counted_when_it_begins_and_distorts_nothing(measured: Service) -> None:
    with stream_from_a_worker(measured) as pid:
        eventually(lambda: active(measured, "http") == 1)
        assert total(measured, "http_requests_total", route="/stream", status="200") == 1
        assert total(measured, "http_request_duration_seconds_count", route="/stream") == 1
        with connect(f"ws://127.0.0.1:{measured.port}/api/outer/anna/v1/inner/1/socket") as websocket:
            eventually(lambda: active(measured, "websocket") == 1)
            labels = {"method": "WEBSOCKET", "route": f"{ROUTE}/socket", "status": "101"}
            assert total(measured, "http_requests_total", **labels) == 1
            websocket.send("end")
            websocket.recv()
        eventually(lambda: active(measured, "websocket") == 0)
        os.kill(pid, signal.SIGKILL)  # it can no longer tell that the stream has ended
        eventually(lambda: active(measured, "http") == 0)
    ask_all_workers(measured)
    for route in ("/stream", f"{ROUTE}/socket"):
        assert 0 < total(measured, "http_request_duration_seconds_sum", route=route) < 1


@promise("Metrics", fixture="measured")
def test_the_sum_over_all_workers_is_exact_after_some_died_and_all_were_replaced(
    measured: Service, record_property: Record
) -> None:
    asked = int(total(measured, "http_requests_total", route=ROUTE))
    more, pids = ask_all_workers(measured)
    asked += more
    for _ in range(20):
        measured.get("/")
    assert total(measured, "http_requests_total", route=ROUTE) == asked
    folder = slots(pids[0])
    files = sorted(os.listdir(folder))
    for _ in range(3):
        os.kill(pids[0], signal.SIGKILL)  # the older one: granian takes two deaths of the same within 5 s for a loop
        more, now = ask_all_workers(measured)
        pids = [pids[1], *set(now) - set(pids)]
        asked += more
        for _ in range(20):
            measured.get("/")
    assert sorted(os.listdir(folder)) == files
    before = set(pids)
    os.kill(master(measured), signal.SIGHUP)
    while before & set(pids):
        more, pids = ask_all_workers(measured, least=10)
        asked += more
    assert total(measured, "http_requests_total", route=ROUTE, method="GET", status="200") == asked
    assert total(measured, "http_request_duration_seconds_count", route=ROUTE) == asked
    assert total(measured, "asked_total") == 80
    record_property("figure", f"{asked} of {asked} requests counted, with 3 workers killed and 2 restarted")


@pytest.mark.parametrize("measured", [{"server": "gunicorn"}], ids=["gunicorn"], indirect=True, scope="module")
def test_what_a_dead_worker_had_in_progress_is_forgotten_whoever_comes_after(measured: Service) -> None:
    _, before = ask_all_workers(measured)
    os.kill(master(measured), signal.SIGHUP)
    eventually(lambda: not set(ask_all_workers(measured, least=10)[1]) & set(before))
    with stream_from_a_worker(measured) as pid:  # in slot 3 or 4: those of the first workers are free
        eventually(lambda: active(measured, "http") == 1)
        os.kill(pid, signal.SIGKILL)
        ask_all_workers(measured)
        eventually(lambda: active(measured, "http") == 0)


@promise("Metrics", fixture="measured")
def test_labels_are_templates_and_known_methods_however_much_is_asked(measured: Service) -> None:
    for number in range(20):
        measured.get(f"/api/outer/secret{number}/v1/inner/{number}")
        measured.get(f"/secret{number}")
        measured.get(f"/static/secret{number}")
        measured.get(f"/tenants/secret{number}/items/{number}")
        measured.get(f"/tenants/secret{number}/nothing")
        measured.get(f"/files/secret/{number}/in/{number}")
        measured.get(f"/shops/secret{number}/of/{number}")
        httpx2.request("PROPFIND", f"{measured.url}/loans/quote")
    measured.get("/api/outer/secret/v1/inner/letters")
    measured.get("/crash")
    measured.get("/static/health.py")
    for labels, count in (
        ({"route": "unmatched", "status": "404"}, 20),
        ({"route": "/static", "status": "404"}, 20),
        ({"route": "/static", "status": "200"}, 1),
        ({"route": "/tenants/{name}/items/{number}", "status": "200"}, 20),
        ({"route": "/tenants/{name}", "status": "404"}, 20),
        ({"route": "/files/{name}/in/{number}", "status": "200"}, 20),
        ({"route": "/shops/{name}/of/{name}", "status": "200"}, 20),
        ({"route": "/loans/quote", "method": "OTHER", "status": "405"}, 20),
        ({"route": ROUTE, "status": "422"}, 1),
        ({"route": "/crash", "status": "500"}, 1),
    ):
        assert total(measured, "http_requests_total", **labels) == count, labels
    assert "secret" not in metrics(measured)
    assert "PROPFIND" not in metrics(measured)


@promise("Metrics", fixture="measured")
def test_the_metrics_are_on_a_port_of_their_own_where_the_service_listens(measured: Service) -> None:
    assert measured.get("/metrics").status_code == 404
    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", measured.metrics_port)) != 0


@promise("Metrics")
def test_a_port_in_use_ends_the_start_with_one_line(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.metrics_port)):
        result = subprocess.run(
            ["make", "--silent", "run"],
            cwd=service.folder,
            env=clean_environment()
            | {"HOST": "127.0.0.1", "PORT": str(service.port), "METRICS_PORT": str(service.metrics_port)},
            capture_output=True,
            text=True,
            timeout=20,
        )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert re.search(r"^HOST, METRICS_PORT: .*Address already in use", output, re.M)
    assert "Traceback" not in output


READ_ONLY = (
    "for place in $$READ_ONLY; do mount --bind $$place $$place; mount -o remount,ro,bind $$place; done; "
    'cd $$PWD; exec "$$@"'
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("service", [{"server": "gunicorn"}], ids=["gunicorn"], indirect=True)
def test_dev_shm_may_be_read_only_and_without_any_other_folder_the_start_ends_with_one_line(service: Service) -> None:
    service.edit("Makefile", "\t.venv/bin/gunicorn", f"\tunshare --mount sh -c '{READ_ONLY}' - .venv/bin/gunicorn")
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", READ_ONLY="/dev/shm"):
        assert total(service, "http_requests_total") > 0
    with pytest.raises(AssertionError, match="ended before it was ready"):
        nowhere = {"READ_ONLY": f"/dev/shm /tmp /var/tmp {service.folder}", "TMPDIR": ""}
        with service.started("run", HOST="127.0.0.1", **nowhere):
            pass
    assert "no folder for the metrics: " in service.log
    assert "Traceback" not in service.log


STARTED = ["uvicorn", "granian"]  # by a module of their own; gunicorn handles signals earlier


@pytest.mark.parametrize("service", [{"server": name} for name in STARTED], ids=STARTED, indirect=True)
def test_a_start_that_is_broken_off_leaves_no_folder(service: Service) -> None:
    begun = "exporter.start()\n    print(os.environ[exporter.FOLDER], flush=True)\n    signal.raise_signal(15)"
    (name,) = (name for name in STARTED if (service.folder / f"serving/{name}.py").exists())
    service.edit(f"serving/{name}.py", "exporter.start()", begun)
    result = subprocess.run(
        [".venv/bin/python", "-m", f"serving.{name}"],
        cwd=service.folder,
        env=clean_environment() | {"METRICS_PORT": str(service.metrics_port)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    folder = Path(result.stdout.strip())
    assert "metrics-" in folder.name and not folder.exists()
    assert result.returncode == 0, result.stderr


class Collector(BaseHTTPRequestHandler):
    """The traces' collector: takes OTLP over HTTP, and keeps what it got."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.server.resources += ExportTraceServiceRequest.FromString(body).resource_spans  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def collector() -> Iterator[tuple[str, list[ResourceSpans]]]:
    """Its address, and what it has got."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.resources = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.resources  # type: ignore[attr-defined]
        finally:
            server.shutdown()


@promise("Metrics")
def test_traces_of_all_workers_reach_the_collector_before_the_service_ends(
    service: Service, record_property: Record
) -> None:
    with collector() as (endpoint, resources):
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": "orders",
            **{f"OTEL_BSP_{name}": "600000" for name in ("SCHEDULE_DELAY", "MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE")},
        }
        with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="2", **traced):
            asked, pids = ask_all_workers(service)
            folder = slots(pids[0])
            service.get("/health/live", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
            assert resources == []  # what follows is sent at the end
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    requests = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert sum(span.name == f"GET {ROUTE}" for span in requests) == asked
    (told,) = [span for span in requests if span.trace_id == bytes.fromhex("ab" * 16)]
    assert (told.name, told.parent_span_id) == ("GET /health/live", bytes.fromhex("cd" * 8))
    for resource in resources:
        assert "orders" in [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
    assert not folder.exists()
    record_property("figure", f"{asked} of {asked} traces exported")


@pytest.mark.parametrize("service", [{"server": "uvicorn"}], ids=["uvicorn"], indirect=True)
def test_a_collector_that_does_not_answer_delays_the_end_by_8_seconds_whatever_is_left(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and no more
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
        }
        with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1", **traced):
            for _ in range(50):
                service.get("/health/live")
            begin = time.monotonic()
        assert 8 < time.monotonic() - begin < 13
    assert "Application shutdown complete" in service.log


@pytest.mark.parametrize("server", document()["servers"]["default"])
def test_nothing_of_it_is_in_a_service_without(server: str, tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", server=server)
    names = [name for name in rendering.names(service.folder) if ".venv" not in name.parts]
    text = "".join((service.folder / name).read_text() for name in names if name.name != ".copier-answers.yml").lower()
    assert not [word for word in ("prometheus", "metrics_port", "opentelemetry", "otel", "exporter") if word in text]
    assert not {"metrics.py", "exporter.py", "traces.py", "test_telemetry.py"} & {name.name for name in names}
    assert "TelemetryConfig(tracing=False, metrics=False, logs=False)" in (service.folder / "main.py").read_text()
