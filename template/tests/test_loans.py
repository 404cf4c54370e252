import json
from decimal import Decimal

import httpx2
import pytest
from fastapi.testclient import TestClient

LOAN: dict[str, str | float] = {"amount": "12000.00", "rate": "4.5", "months": 24}


def test_quote(client: TestClient) -> None:
    response = client.post("/loans/quote", json=LOAN)
    assert (200, {"payment": "523.77", "interest": "570.59"}) == (response.status_code, response.json())


@pytest.mark.parametrize(
    ("change", "field"),
    [({"amount": "0"}, "amount"), ({"rate": "-1"}, "rate"), ({"months": 1.5}, "months")],
)
def test_an_invalid_loan_is_rejected_by_field(client: TestClient, change: dict[str, str | float], field: str) -> None:
    response = client.post("/loans/quote", json=LOAN | change)
    assert response.status_code == 422
    assert [field] == [error["loc"][-1] for error in response.json()["detail"]]


@pytest.mark.parametrize("path", ["/loans/quote", "/loans/schedule"])
def test_a_loan_that_is_not_on_offer_is_rejected(client: TestClient, path: str) -> None:
    loan = LOAN | {"months": 481}
    response = client.post(path, json=loan) if path.endswith("quote") else client.get(path, params=loan)
    assert response.status_code == 422
    assert response.json() == {"detail": "months: 481 is more than 480, the longest loan on offer"}


def test_the_schedule_ends_at_zero(client: TestClient) -> None:
    months = [json.loads(line) for line in client.get("/loans/schedule", params=LOAN).iter_lines()]
    assert (24, "0.00") == (len(months), months[-1]["balance"])
    assert Decimal("12570.59") == sum(Decimal(month["payment"]) for month in months)


def test_the_real_server_streams_the_schedule(server: httpx2.Client) -> None:
    with server.stream("GET", "/loans/schedule", params=LOAN) as response:
        assert response.headers["content-type"] == "application/jsonl"
        assert len(list(response.iter_lines())) == 24
