import json

import httpx2
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.websockets import WebSocketDisconnect

from app.channels import channel_settings, channels
from main import app


def test_a_reconnecting_client_gets_what_it_missed(client: TestClient) -> None:
    last = client.get("/channels/orders/poll").json()["id"]
    assert client.portal
    ids = [client.portal.call(channels.publish, "orders", {"number": number}) for number in range(3)]
    missed = client.get("/channels/orders/poll", params={"after": last}).json()
    assert missed["reset"] is False and missed["id"] == ids[-1]
    assert missed["messages"] == [{"id": id, "data": {"number": number}} for number, id in enumerate(ids)]
    with client.websocket_connect(f"/channels/orders/socket?after={ids[0]}") as websocket:
        lines = [json.loads(line) for line in websocket.receive_text().split("\n")]
    assert lines == missed["messages"][1:]


def test_an_unknown_id_is_answered_with_reset(client: TestClient) -> None:
    answer = client.get("/channels/orders/poll", params={"after": "1-1"}).json()
    assert answer["reset"] is True and answer["messages"] == []


def test_publishing_over_http_needs_the_token(client: TestClient) -> None:
    assert client.post("/channels/orders", json="hello").status_code == 403


@pytest.mark.parametrize(
    ("token", "given", "status"),
    [
        ("right", "Bearer wrong", 403),
        ("right", "Bearer ", 403),
        ("right", "right", 403),
        ("right", "Bearer right", 200),
        ("right", "bearer right", 200),
        ("señal", "Bearer señal", 200),
    ],
)
def test_only_the_right_token_may_publish(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, token: str, given: str, status: int
) -> None:
    settings = channel_settings.model_copy(update={"publish_token": SecretStr(token)})
    monkeypatch.setattr("app.channels.channel_settings", settings)
    answer = client.post("/channels/orders", json="hello", headers=[(b"Authorization", given.encode())])
    assert answer.status_code == status


def test_a_page_of_another_origin_cannot_open_a_websocket(client: TestClient) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/channels/orders/socket", headers=headers):
        pass


def test_polling_works_without_the_lifespan() -> None:
    answer = TestClient(app).get("/channels/orders/poll", params={"after": "1-1"})
    assert answer.json()["reset"] is True


def test_the_real_server_streams_events(server: httpx2.Client) -> None:
    with server.stream("GET", "/channels/orders/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == "retry: 1000"
        assert next(line for line in lines if line) == "event: id"
