import httpx2
import pytest
from fastapi.testclient import TestClient

from main import app, draining


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready"])
def test_answers_while_the_service_runs(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert (200, {"status": "ok"}) == (response.status_code, response.json())


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready"])
def test_monitors_may_use_head(client: TestClient, path: str) -> None:
    assert client.head(path).status_code == 200
    assert list(app.openapi()["paths"][path]) == ["get"]


def test_ready_is_red_while_draining(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "begun", True)
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200


def test_ready_is_red_before_the_lifespan_has_started() -> None:
    assert TestClient(app).get("/health/ready").status_code == 503


def test_the_real_server_answers(server: httpx2.Client) -> None:
    assert server.get("/").json() == {"status": "ok"}


def test_documentation_is_off_in_production(server: httpx2.Client) -> None:
    assert [404, 404] == [server.get(path).status_code for path in ("/docs", "/openapi.json")]
