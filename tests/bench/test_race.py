"""The race: who answers wrongly is disqualified, who dies is reported, and a contestant is as fast as itself."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import contest, growth, parts, start
from bench.contest import APPS, FOUNDING, OTHERS, Contestant, contestants, quickstart, started
from bench.endpoints import ENDPOINTS, faults
from bench.load import Wrong
from bench.throughput import Race, summary

pytestmark = pytest.mark.slow

BARE = next(one for one in OTHERS if one.key == "bare")


def changed(folder: Path, key: str, old: str, new: str) -> Contestant:
    """Bare ASGI with a change in its code."""
    files = folder / key
    files.mkdir()
    for name in ("bare.py", "data.py", "models.py"):
        text = (APPS / name).read_text()
        if name == "bare.py":
            assert old in text
            text = text.replace(old, new)
        (files / name).write_text(text)
    return replace(BARE, key=key, title=key, folder=files)


def race(folder: Path, entrants: list[Contestant], names: tuple[str, ...], rounds: int = 1) -> Race:
    """A race that has been run."""
    with Race(entrants, folder) as one:
        one.run([endpoint for endpoint in ENDPOINTS if endpoint.name in names], rounds, 0.2, latency=False)
    return one


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Contestant]]:
    yield contestants(tmp_path_factory.mktemp("everybody"))


def test_every_contestant_answers_right(everybody: list[Contestant], tmp_path: Path) -> None:
    assert len(everybody) == 15
    for contestant in everybody:
        with started(contestant, tmp_path) as running:
            assert list(faults(running.port)) == [], contestant.title


def test_all_of_the_services_middleware_is_on(everybody: list[Contestant], tmp_path: Path) -> None:
    for contestant in everybody:
        if contestant.key.startswith("ours"):
            with started(contestant, tmp_path) as running:
                import http.client

                connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
                connection.request("GET", "/json")
                answer = connection.getresponse()
                answer.read()
                assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["strict-transport-security"]
                connection.request("GET", "/json", headers={"Host": "example.org"})
                assert connection.getresponse().status == 400
                connection.close()
            assert re.search(r'"path": ?"/json"', running.log.read_text()), contestant.title


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("for row in ROWS]", "for row in ROWS[1:]]", "items: answered"),
        ('"Hello, world!"}', '"Hello, World!"}', "json: answered"),
        ("status=422", "status=200", "order: what is not valid got status 200"),
        ("for chunk in CHUNKS:", "for chunk in [b''.join(CHUNKS[:-1])]:", "stream: answered"),
        (
            '[(b"content-type", b"application/octet-stream")]',
            '[(b"content-type", b"application/octet-stream"), (b"content-length", b"10240")]',
            "stream: not streamed",
        ),
    ],
)
def test_a_wrong_answer_disqualifies_before_the_clock_runs(tmp_path: Path, old: str, new: str, named: str) -> None:
    one = race(tmp_path, [changed(tmp_path, "wrong", old, new), BARE], ("json",))
    results = summary(one)
    assert {row["contestant"] for row in results["rows"]} == {"bare"}
    (out,) = results["out"]
    assert out["title"] == "wrong" and out["reason"].startswith("disqualified") and named in out["reason"]


def test_a_wrong_answer_under_load_disqualifies(tmp_path: Path) -> None:
    sloppy = changed(
        tmp_path,
        "sloppy",
        "async def small(scope, receive, send):",
        'SEEN = []\n\n\nasync def small(scope, receive, send):\n    SEEN.append(1)\n    if len(SEEN) > 50:\n        return await answer(send, b\'{"message": "later"}\')',
    )
    one = race(tmp_path, [sloppy, BARE], ("json",))
    assert "later" in one.out["sloppy"] and one.out["sloppy"].startswith("disqualified")
    assert list(one.cells) == ["bare"]


@pytest.mark.parametrize(
    ("does", "verdict"),
    [
        ("return await answer(send, b'null')", "disqualified: json: answered 200 b'null'"),
        ("__import__('os')._exit(1)", "dead: no answer"),
    ],
)
def test_who_is_wrong_or_gone_when_its_turn_begins_is_out_and_the_others_go_on(
    tmp_path: Path, does: str, verdict: str
) -> None:
    small = "async def small(scope, receive, send):"
    later = changed(
        tmp_path, "later", small, f"SEEN = []\n\n\n{small}\n    SEEN.append(1)\n    if len(SEEN) > 1:\n        {does}"
    )
    one = race(tmp_path, [later, BARE], ("json",))
    assert one.out["later"].startswith(verdict), one.out
    assert list(one.cells) == ["bare"]


def test_who_drops_requests_is_out(tmp_path: Path) -> None:
    small = "async def small(scope, receive, send):"
    dies = "import os\n        os._exit(1)"
    drops = changed(
        tmp_path, "drops", small, f"SEEN = []\n\n\n{small}\n    SEEN.append(1)\n    if len(SEEN) > 50:\n        {dies}"
    )
    one = race(tmp_path, [drops, BARE], ("json",))
    assert "drops" in one.out and list(one.cells) == ["bare"], one.out


def test_a_server_that_is_asked_for_something_else_has_no_rate(tmp_path: Path) -> None:
    point = growth.Point("bare", 1, BARE, replace(growth.JSON, target="/plain"))
    with pytest.raises(Wrong, match="Hello, world"):
        growth.rate(point, tmp_path, 0.1)
    assert growth.rate(replace(point, endpoint=growth.JSON), tmp_path, 0.1) > 0


def test_an_application_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    unborn = changed(tmp_path, "unborn", "import json\n", "import json\nraise RuntimeError('no database')\n")
    results = start.measure(quick=True, chosen=lambda folder: [replace(unborn, key="ours"), FOUNDING])
    assert [row["contestant"] for row in results["rows"]] == ["founding"]
    assert "no database" in results["out"][0]["reason"]


def test_a_dead_server_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    unborn = changed(tmp_path, "unborn", "import json\n", "import json\nraise RuntimeError('no database')\n")
    dies = changed(
        tmp_path,
        "dies",
        "async def small(scope, receive, send):",
        "SEEN = []\n\n\nasync def small(scope, receive, send):\n    SEEN.append(1)\n    if len(SEEN) > 50:\n        import os, signal\n        os.kill(os.getppid(), signal.SIGKILL)\n        os._exit(1)",
    )
    one = race(tmp_path, [unborn, dies, BARE], ("json",))
    assert one.out["unborn"].startswith("dead: it ended with status 3") and "no database" in one.out["unborn"]
    assert one.out["dies"].startswith("dead: ")
    assert list(one.cells) == ["bare"]


@pytest.mark.alone
def test_a_contestant_is_as_fast_as_itself(tmp_path: Path) -> None:
    one = race(tmp_path, [replace(BARE, key="founding"), BARE], ("json",), rounds=5)
    (founding, bare) = summary(one)["rows"]
    assert founding["ratio"] == founding["cpu_ratio"] == 1
    assert 0.4 < bare["ratio"] < 2.5  # something else may run on one of the cores
    assert 0.6 < bare["cpu_ratio"] < 1.6


@pytest.mark.alone
def test_the_quick_form_finds_the_ratios(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    entrants = [FOUNDING, quickstart("gunicorn", tmp_path), BARE]
    results = summary(race(tmp_path, entrants, ("json", "items"), rounds=3))
    assert not results["out"]
    # By processor time, which does not depend on what else the machine does.
    ratios = {(row["contestant"], row["endpoint"]): row["cpu_ratio"] for row in results["rows"]}
    record_property("ratios", str(ratios))
    assert ratios["bare", "json"] > 1.5
    assert ratios["ours-gunicorn", "json"] > 0.25
    assert ratios["ours-gunicorn", "items"] > 1.5


def test_a_contestant_is_a_new_process_every_third_round(tmp_path: Path) -> None:
    with Race([BARE], tmp_path) as one:
        (first,) = one.up
        one.run([endpoint for endpoint in ENDPOINTS if endpoint.name == "json"], 4, 0.05, latency=False)
        (second,) = one.up
    assert first.process.pid != second.process.pid
    assert len(one.cells[BARE.key]["json"].rates) == 4


def test_the_service_runs_without_each_of_its_parts(tmp_path: Path) -> None:
    one = race(tmp_path, list(parts.variants(tmp_path)), ("json",))
    assert not one.out
    assert len(one.cells) == len(parts.CHANGES) + 2  # and whole, and the founding set-up


def test_memory_and_times_of_a_start_are_measured(tmp_path: Path) -> None:
    results = start.measure(quick=True, chosen=lambda folder: [FOUNDING])
    (row,) = results["rows"]
    assert 0 < row["import_s"] and 0 < row["first_answer_s"] < 60
    assert 10 < row["worker_mb"] < row["one_mb"] < row["two_mb"] < 500


def test_the_server_is_on_another_core_than_the_load(tmp_path: Path) -> None:
    if len(contest.CORES) < 2:
        pytest.skip("one core")
    import os

    with started(BARE, tmp_path) as running:
        assert os.sched_getaffinity(running.process.pid) == {contest.CORES[0]}
    with contest.on(contest.CORES[-1:]):
        assert os.sched_getaffinity(0) == {contest.CORES[-1]}
    assert os.sched_getaffinity(0) == set(contest.CORES)
