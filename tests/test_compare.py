"""`make compare` itself: who answers wrongly is out, who is dead is not measured, and who waits is seen to wait."""

import json
from pathlib import Path

import pytest

from bench.compare import quick, report
from bench.compare.comparison import compare
from bench.compare.contestants import CONTESTANTS, Contestant
from bench.compare.measurement import Disqualified, Level, measure
from bench.compare.picture import draw
from bench.compare.quick import Waits, right

from .tables import part

SYNC, *_, ASGI = CONTESTANTS
LINES = 'lines(int(given["ticks"]), float(given["pause"]))'
FAULTS = {  # what is said: the application as it is, and altered
    "quick: 200 .*busy": ('{"status": "ok"}', '{"status": "busy"}'),
    "poll: answered after 0": ("time.sleep(float(", "abs(float("),
    "stream: held back": (LINES, f'[b"".join({LINES})]'),
    "stream: 200 .*0..1..'$": ("range(ticks)", "range(ticks - 1)"),
    "unknown: 200, not 404": ("404 Not Found", "200 OK"),
    "stream: .*RemoteProtocolError": ("        yield", "        os._exit(1)\n        yield"),
}


def altered(folder: Path, old: str, new: str) -> Contestant:
    """A contestant with a fault in its application."""
    source = SYNC.source.read_text()
    assert old in source
    (folder / "faulty.py").write_text("import os, signal\nMASTER = os.getppid()\n" + source.replace(old, new))
    return Contestant("faulty", SYNC.words, folder / "faulty.py")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_disqualifies(tmp_path: Path, fault: str) -> None:
    level = Level(1)
    with pytest.raises(Disqualified, match=f"^wrong answer: {fault}"):
        measure(altered(tmp_path, *FAULTS[fault]), [level], 1)
    assert level == Level(1)  # not measured


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def app(", "1 / 0\n\n\ndef app(", "(?s)^not started: .*ZeroDivisionError"),
        (
            "        if number:",
            "        if pause == 1:\n            os.kill(MASTER, signal.SIGKILL)\n            os._exit(0)\n        if number:",
            "^ended",
        ),
    ],
    ids=["at start", "under load"],
)
def test_a_dead_server_is_reported_and_not_measured(tmp_path: Path, old: str, new: str, reason: str) -> None:
    levels = [Level(1), Level(2), Level(3)]
    with pytest.raises(Disqualified, match=reason):
        measure(altered(tmp_path, old, new), levels, 0.5)
    assert levels[1:] == [Level(2), Level(3)]


@pytest.mark.slow
def test_a_quick_request_waits_behind_more_clients_than_sync_workers_and_not_in_the_service(tmp_path: Path) -> None:
    results = compare([altered(tmp_path, *FAULTS["quick: 200 .*busy"]), SYNC, ASGI], levels=(1, 6), rounds=1, seconds=1)
    assert list(results["disqualified"]) == ["faulty"]
    assert list(results["contestants"]) == [SYNC.name, ASGI.name]
    (_, waiting), (alone, served) = results["contestants"].values()
    assert waiting["unanswered"] > waiting["asked"] / 2 and waiting["median"] is None
    assert served["unanswered"] == served["wrong"] == alone["unanswered"] == 0
    assert served["median"] < 1000 * quick.BOUND / 3
    assert served["streams"] == [3, 3] and waiting["streams"][0] < 3
    assert "Disqualified: faulty: wrong answer: quick" in report.tables(results)


def test_only_the_whole_right_answer_is_right() -> None:
    good = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
    assert right(good)
    for wrong in (
        b"",
        good[:-1],
        good.replace(b"200", b"503"),
        good.replace(b'"ok"', b'"no"'),
        good.partition(b"\r\n\r\n")[0],
    ):
        assert not right(wrong)


def test_who_had_no_answer_counts_among_the_slowest() -> None:
    waits = Waits([0.001] * 50 + [0.002] * 48, unanswered=2)
    assert (waits.quantile(0.5), waits.quantile(0.98), waits.quantile(0.99)) == (0.001, 0.002, None)
    assert Waits(unanswered=3).quantile(0.5) is None


def test_a_cell_says_how_many_had_no_answer() -> None:
    row = {"asked": 100, "unanswered": 0, "wrong": 0, "median": 1.0, "p99": 1234.5}
    assert report.wait(row, 3) == "1.0 / 1,234.5 ms"
    assert report.wait(row | {"unanswered": 10, "wrong": 2, "p99": None}, 3) == "1.0 ms / over 3 s, **12% unanswered**"
    assert (
        report.wait(row | {"unanswered": 60, "median": None, "p99": None}, 3)
        == "over 3 s / over 3 s, **60% unanswered**"
    )
    assert report.wait(row | {"unanswered": 100, "median": None, "p99": None}, 3) == "**none answered**"


def test_the_page_the_chart_and_the_readme_show_the_last_measurement() -> None:
    results = json.loads(report.RESULTS.read_text())
    assert report.tables(results) == part(report.PAGE.read_text(), report.MARK)
    assert report.sentence(results) == part(report.README.read_text(), report.MARK)
    assert report.digest(results) in report.CHART.read_text()
    assert list(results["contestants"]) == [contestant.name for contestant in CONTESTANTS]


def test_the_same_figures_give_the_same_chart(tmp_path: Path) -> None:
    results = json.loads(report.RESULTS.read_text())
    charts = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for chart in charts:
        draw(results, chart, report.digest(results))
    assert charts[0].read_bytes() == charts[1].read_bytes()
    assert "<dc:date>" not in charts[0].read_text()
