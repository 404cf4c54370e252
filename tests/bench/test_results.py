"""The results: they survive being written, name no machine and no path, and are what the page shows."""

import getpass
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import charts, report, results, stack, tool
from bench.tool import Generator

from .. import containers
from ..tables import DOCS, part

ROOT = DOCS.parent


def test_results_round_trip_and_leave_other_sections_alone(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    first = results.save({"start": {"rounds": 1, "rows": [{"title": "a", "first_answer_s": 0.25}]}}, file)
    assert results.load(file) == first
    second = results.save({"tool": {"rounds": 2, "rows": []}}, file)
    assert results.load(file) == second
    assert second["sections"]["start"] == first["sections"]["start"]
    assert set(second["sections"]["tool"]) == {"date", "commit", "machine", "versions", "figures"}
    assert {"fastapi", "gunicorn", "asgi-quickstart"} <= set(second["sections"]["tool"]["versions"])


def test_results_of_another_schema_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    file.write_text(json.dumps({"schema": 0, "sections": {"start": {"rows": []}}}))
    assert results.load(file) == {"schema": results.SCHEMA, "sections": {}}


def test_results_name_neither_the_machine_nor_a_path(tmp_path: Path) -> None:
    text = json.dumps(results.save({"start": {}}, tmp_path / "latest.json"))
    if results.LATEST.exists():
        text += results.LATEST.read_text()
    for name in (socket.gethostname(), f"/{getpass.getuser()}/", str(ROOT), str(Path.home()), "/tmp/"):
        assert name not in text


def test_the_page_shows_the_last_results() -> None:
    page = report.PAGE.read_text()
    for name, text in report.tables(results.load()).items():
        assert part(page, name) == text, name


def test_an_unknown_part_is_one_line(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "bench", "speed"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("No such part: speed.") and run.stderr.count("\n") == 1


def test_a_generator_that_works_is_measured_and_one_that_fails_is_named() -> None:
    python = sys.executable
    works = Generator(
        "works", "mkdir -p shop/.git shop/app", "touch shop/a", f"{python} -m http.server {{port}} -b 127.0.0.1"
    )
    writes = Generator("writes", "cp -r /etc/hostname shop", "", "")
    fails = Generator("fails", f"{python} -c 'raise SystemExit(\"error: cannot reach it\")'", "", "")
    missing = Generator("missing", "no-such-program shop", "", "")
    silent = Generator("does nothing", "true", "", "")
    dies = Generator("dies", "mkdir shop", "", f"{python} -c 'raise SystemExit(\"no port\")'")
    figures = tool.measure(True, [works, writes, fails, missing, silent, dies])
    assert [row["title"] for row in figures["rows"]] == ["works", "writes"]
    assert 0 < figures["rows"][0]["files_s"] <= figures["rows"][0]["first_answer_s"]
    assert figures["rows"][1]["first_answer_s"] is None
    reasons = {one["title"]: one["reason"] for one in figures["out"]}
    assert "cannot reach it" in reasons["fails"]
    assert "no-such-program" in reasons["missing"]
    assert "said nothing" in reasons["does nothing"]
    assert "does not start: no port" in reasons["dies"]
    assert figures["python"].startswith("3.")


def test_a_generator_that_fails_once_has_no_row(tmp_path: Path) -> None:
    often = Generator(
        "flaky", f"sh -c 'mkdir shop && echo >> {tmp_path}/runs && [ $(wc -l < {tmp_path}/runs) -lt 2 ]'", "", ""
    )
    figures = tool.measure(True, [often])
    assert figures["rows"] == [] and figures["out"][0]["title"] == "flaky"
    assert "flaky: did not run" in report.tool(figures)


@pytest.mark.slow
def test_the_stack_is_measured_whole_and_one_by_one() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.stack", "--quick"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [line.removeprefix("| ").split(" | ") for line in run.stdout.splitlines()]
    least = {row[1]: float(row[2]) for row in rows if row[0] == "GET /"}
    assert set(least) == {"bare", "all", "Proxies", "Serving"}
    assert least["bare"] < least["all"]
    empty = {row[1]: float(row[2]) for row in rows if row[0] == "GET /, to nothing"}
    assert empty["bare"] < empty["all"] < least["bare"]


@pytest.mark.slow
def test_the_stack_is_measured_in_the_image_by_its_own_python() -> None:
    containers.require()
    figures = stack.in_image(1)
    least = {row["middleware"]: row["min_us"] for row in figures["rows"] if row["request"] == "GET /"}
    assert 0 < least["bare"] < least["all"]
    assert figures["python"].startswith("3.13."), "Debian's, and not that of this machine"


def test_a_stack_that_was_not_measured_in_the_image_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "missing", lambda: "not installed: podman")
    here = {"python": "3.11.7", "rows": [{"request": "GET /", "middleware": "bare", "min_us": 1.0, "median_us": 2.0}]}
    table = stack.table(here | {"image": stack.in_image(1)})
    assert "Not measured in the service's image, which needs containers; not installed: podman." in table
    assert "| GET / | bare | 1.0 | 2.0 |" in table


def test_charts_are_drawn_and_the_same_figures_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = [
        {"contestant": key, "title": key, "endpoint": name, "ratio": 1.5, "p50_ms": 1.0, "p99_ms": 2.0}
        for key in ("founding", "ours-gunicorn", "bare")
        for name in ("json", "items")
    ]
    sizes = {
        name: [{"line": line, "x": x, "rate": 100 * x} for line in ("a", "b") for x in (1, 2)]
        for name in charts.QUANTITIES
    }
    memory = [{"contestant": "bare", "title": "bare ASGI", "one_mb": 30.0, "two_mb": 50.0}]
    sections: dict[str, Any] = {
        name: {"figures": figures} for name, figures in (("throughput", {"rows": race}), ("growth", sizes))
    }
    sections["start"] = {"figures": {"rows": memory}}
    drawn = []
    for folder in (tmp_path / "once", tmp_path / "twice"):
        folder.mkdir()
        monkeypatch.setattr(charts, "PICTURES", folder)
        charts.draw({"sections": sections})
        drawn.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert drawn[0] == drawn[1]
    named = {f"performance-{file}.svg" for pictures in report.PICTURES.values() for file in pictures}
    assert set(drawn[0]) == named
