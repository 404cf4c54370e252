import json
import logging
import logging.config

import pytest
from fastapi.testclient import TestClient

from serving import logs


def test_one_json_line_per_request_with_its_id(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logs.config(development=False, level="INFO"))
    response = client.get("/health/live")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["logger"] == "access"]
    assert response.headers["x-request-id"] == line["request_id"]
    assert ("GET", "/health/live", 200, "testclient") == tuple(
        line[key] for key in ("method", "path", "status", "client")
    )
    assert line["seconds"] > 0


def test_a_line_break_in_the_path_starts_no_new_line(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logs.config(development=True, level="INFO"))
    client.get("/nothing%0aERROR forged")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "GET /nothing" in line]
    assert "/nothing%0AERROR%20forged 404" in line
