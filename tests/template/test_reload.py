"""Hot reload on gunicorn: from an edit to the new code, whatever the edit was."""

import re
import socket
import time
from contextlib import suppress

import httpx2
import pytest

from ..service import Service, eventually

pytestmark = pytest.mark.slow

FOUNDING = "gunicorn main:app -k uvicorn.workers.UvicornWorker -c uvicorn.conf.py --reload".split()


@pytest.fixture(params=["dev", "founding command"])
def running(request: pytest.FixtureRequest, service: Service) -> object:
    """The default service with reload on, started both ways."""
    words = ["dev"] if request.param == "dev" else FOUNDING
    with service.started(*words) as running:
        yield running


def reloads(service: Service, seconds: float = 10) -> None:
    """An edit in app/ is served."""
    service.edit("app/health.py", 'status="ok"', 'status="edited"')
    eventually(service.says("edited"), seconds, lambda: service.log)


def test_an_edit_in_app_is_served(running: Service) -> None:
    reloads(running)


def test_an_edit_in_main_is_served(running: Service) -> None:
    running.edit("main.py", "app.include_router(loans)", 'app.get("/new")(lambda: "new")')
    eventually(lambda: running.get("/new").is_success, 10, lambda: running.log)


def test_edits_of_the_same_length_within_a_second_are_served(running: Service) -> None:
    for old, new in ("ok", "v1"), ("v1", "v2"), ("v2", "v3"), ("v3", "v4"):
        running.edit("app/health.py", f'status="{old}"', f'status="{new}"')
        eventually(running.says(new), 10, lambda: running.log)


def test_an_edit_in_serving_is_served(running: Service) -> None:
    running.edit("serving/access_log.py", "quote(path)", "'edited:' + quote(path)")
    eventually(lambda: running.get().is_success and "GET edited:/ 200" in running.log, 10, lambda: running.log)


def test_no_connection_is_refused_or_reset(running: Service) -> None:
    for version in range(1, 6):
        running.edit("app/health.py", "status=", f"status='v{version}' or ")
        deadline = time.monotonic() + 10
        while f"v{version}" not in running.get().text:  # it raises when a connection is refused or reset
            assert time.monotonic() < deadline, running.log


def test_a_kept_connection_is_not_cut(running: Service) -> None:
    with httpx2.Client(base_url=running.url) as client:
        for version in range(3):
            running.edit("app/health.py", "status=", f"status='v{version}' or ")
            deadline = time.monotonic() + 10
            while f"v{version}" not in client.get("/").text:
                assert time.monotonic() < deadline, running.log


@pytest.mark.parametrize(
    ("broken", "error"),
    [("def broken(:", "SyntaxError"), ("undefined_name", "NameError"), ("1/0", "ZeroDivisionError")],
)
def test_goes_on_after_an_error_at_import(running: Service, broken: str, error: str) -> None:
    source = (running.folder / "app/health.py").read_text()
    (running.folder / "app/health.py").write_text(source + "\n" + broken + "\n")
    eventually(lambda: error in running.log, 10, lambda: running.log)
    eventually(lambda: "was sent SIGTERM" in running.log, 10, lambda: running.log)  # the old worker has ended
    eventually(lambda: "Waiting for the next save" in running.log, 10, lambda: running.log)  # before that or after
    (running.folder / "app/health.py").write_text(source)
    reloads(running)


def test_goes_on_after_a_lifespan_that_raises(running: Service) -> None:
    running.edit("main.py", "    with draining,", "    1 / 0\n    with draining,")
    eventually(lambda: "ZeroDivisionError" in running.log, 10, lambda: running.log)
    running.edit("main.py", "    1 / 0\n", "")
    reloads(running)


def test_reloads_with_a_streaming_response_open(running: Service) -> None:
    running.edit(
        "main.py",
        "app.include_router(loans)",
        "import asyncio\nfrom fastapi.responses import StreamingResponse\n"
        "async def endless():\n    while True:\n        yield b'tick'\n        await asyncio.sleep(0.05)\n"
        "@app.get('/endless')\nasync def stream():\n    return StreamingResponse(endless())\n",
    )
    eventually(lambda: streams(running), 10, lambda: running.log)
    with httpx2.stream("GET", running.url + "/endless") as response:
        ticks = response.iter_raw()
        assert next(ticks) == b"tick"
        reloads(running)
        started = time.monotonic()
        with suppress(httpx2.RemoteProtocolError):  # cut off by the old worker, which waits for it no longer
            assert all(tick.replace(b"tick", b"") == b"" for tick in ticks)
        assert time.monotonic() - started < 10


def streams(service: Service) -> bool:
    with httpx2.stream("GET", service.url + "/endless") as response:
        return response.is_success


@pytest.mark.parametrize("file", ["app/settings.py", "serving/settings.py"])
def test_an_edit_in_what_the_master_has_imported_is_served(running: Service, file: str) -> None:
    first = "model_config" if file.startswith("serving") else "loans_max"
    running.edit(file, f"    {first}", f"    added: str = 'new'\n    {first}")
    running.edit("app/health.py", 'status="ok"', "status=__import__('main').settings.added")
    eventually(running.says("new"), 10, lambda: running.log)


def test_a_new_module_is_served(running: Service) -> None:
    (running.folder / "app/fresh.py").write_text('WORD = "fresh"\n')
    running.edit("app/health.py", 'status="ok"', "status=__import__('app.fresh').fresh.WORD")
    eventually(running.says("fresh"), 10, lambda: running.log)
    (running.folder / "app/fresh.py").write_text('WORD = "fresher"\n')
    eventually(running.says("fresher"), 10, lambda: running.log)


def test_dotenv_is_read_again(running: Service) -> None:
    (running.folder / ".env").write_text("LOANS_MAX_MONTHS=12\n")
    query = "/loans/schedule?amount=1000&rate=5&months=13"
    eventually(lambda: running.get(query).status_code == 422, 10, lambda: running.log)


def test_goes_on_after_a_wrong_setting_in_dotenv(running: Service) -> None:
    (running.folder / ".env").write_text("LOANS_MAX_MONTHS=many\n")
    eventually(lambda: "LOANS_MAX_MONTHS: Input should be a valid integer" in running.log, 10, lambda: running.log)
    (running.folder / ".env").unlink()
    reloads(running)


def test_writing_a_log_file_reloads_nothing(running: Service) -> None:
    with (running.folder / "app/service.log").open("w") as log:
        for line in range(50):
            print(line, file=log, flush=True)
            assert running.get().is_success
    reloads(running)
    assert re.findall(r"Reloading: ([\w/.]+)", running.log) == ["app/health.py"]


def test_stops_at_once_while_an_error_is_shown(service: Service) -> None:
    with service.started("dev") as running:
        running.edit("main.py", "app = Service", "app = Server")
        eventually(lambda: "NameError" in running.log, 10, lambda: running.log)
        assert running.process
        running.process.terminate()
        running.process.wait(5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), timeout=5)


def test_an_edit_of_what_the_master_imports_is_served_through_a_link_too(service: Service) -> None:
    (service.folder.parent / "link").symlink_to(service.folder)
    service.folder = service.folder.parent / "link"
    with service.started("dev", PWD=str(service.folder)):  # as a shell says it
        service.edit("main.py", "app.include_router(loans)", 'app.get("/most")(lambda: settings.loans_max_months)')
        eventually(lambda: service.get("/most").text == "480", 10, lambda: service.log)
        service.edit("app/settings.py", "Field(480", "Field(7")
        eventually(lambda: service.get("/most").text == "7", 10, lambda: service.log)
