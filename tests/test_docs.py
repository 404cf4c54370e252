"""What the docs say is so: links lead somewhere, commands exist, figures are those that were measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_quickstart.options import options
from bench import command, image, realtime, reload

from .conftest import Quickstart
from .made_history import commit, edit, git
from .service import BIN, clean_environment, write_service
from .tables import DOCS, part
from .template.readme import removal

ROOT = DOCS.parent
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_word_exists(page: Path) -> None:
    words = set(re.findall(r"make ([a-z-]+)\b", "\n".join(re.findall(r"`[^`]+`|^    .*", page.read_text(), re.M))))
    makefiles = (ROOT / "Makefile").read_text() + (ROOT / "template/Makefile").read_text()
    assert words <= set(re.findall(r"^([a-z-]+):", makefiles, re.M))


def test_the_commands_of_the_readme_are_understood(quickstart: Quickstart) -> None:
    commands = re.findall(r"^    asgi-quickstart (new .*?)(?:  +#.*)?$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) >= 4
    for line in commands:
        result = quickstart(*line.replace("--run", "").split(), "--dry-run")
        assert result.returncode == 0, line


def test_the_readme_has_every_choice() -> None:
    text = (ROOT / "README.md").read_text()
    for option in options():
        assert all(f"`{choice}`" in text for choice in option.choices), option.name


def test_the_figures_are_those_of_the_last_measurement() -> None:
    for bench, page in ((reload, "hot-reload.md"), (command, "command.md")):
        results = json.loads(bench.RESULTS.read_text())["results"]
        assert bench.table(results) == part((DOCS / page).read_text(), "figures")


def test_the_figures_of_the_images_are_those_of_the_last_measurement() -> None:
    measured = image.table(json.loads(image.RESULTS.read_text())) if image.RESULTS.exists() else ""  # else none is told
    assert measured == part(image.PAGE.read_text(), image.MARK)


def test_the_figures_of_channels_are_those_of_the_last_measurement_or_none() -> None:
    measured = realtime.RESULTS.exists() and json.loads(realtime.RESULTS.read_text())["results"]
    assert (realtime.table(measured) if measured else "") == part((DOCS / "realtime.md").read_text(), "figures")


@pytest.mark.parametrize("name", ["service", "loans-api"])
def test_the_line_that_removes_the_example_leaves_a_service_that_passes(name: str, tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", name=name)
    readme, line = (service.folder / "README.md").read_text(), removal(service)

    def run(words: str) -> subprocess.CompletedProcess[str]:
        cache = {"MYPY_CACHE_DIR": str(Path(sys.prefix) / "cache" / "mypy-services")}
        return subprocess.run(
            ["sh", "-c", words], cwd=service.folder, env=clean_environment() | cache, capture_output=True, text=True
        )

    environment = (service.folder / ".venv").rename(tmp_path / ".venv")
    assert run(line).returncode and (service.folder / "app/loans.py").exists()  # half of it would be worse
    environment.rename(service.folder / ".venv")
    search = "! grep -ri loan --exclude-dir=.venv --exclude-dir='.*_cache' . | grep -v loans-api"
    for words in (line, "make check test", search):
        result = run(words)
        assert result.returncode == 0, words + result.stdout + result.stderr
    left = [line for line in readme.splitlines() if "app/loans" not in line and "LOANS_MAX_MONTHS" not in line]
    now = (service.folder / "README.md").read_text()
    assert [line for line in left if line] == [line for line in now.splitlines() if line] and left[0] == f"# {name}"
    assert "\n\n\n" not in now


def test_the_readme_speaks_of_the_example_only_where_it_is_about_the_example(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service", telemetry="full", realtime="full", deploy=("compose", "kubernetes"))
    lines = [line for line in (service.folder / "README.md").read_text().splitlines() if "loan" in line.lower()]
    assert 3 == len(lines) and all("app/loans" in line or "LOANS_MAX_MONTHS" in line for line in lines)


@pytest.mark.slow
def test_the_settings_of_a_developer_do_not_change_what_the_tests_of_a_service_see(tmp_path: Path) -> None:
    service = write_service(tmp_path / "service")
    service.edit(".env.example", "# LOANS_MAX_MONTHS=480", "LOANS_MAX_MONTHS=480")  # an owner's may be without the mark
    (service.folder / ".env").write_text("LOANS_MAX_MONTHS=12\nALLOWED_HOSTS=api.example.com\nMAX_BODY_BYTES=1\n")
    environment = clean_environment() | {"ALLOWED_HOSTS": "api.example.com", "LOG_LEVEL": "ERROR"}
    result = subprocess.run(["make", "test"], cwd=service.folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_contributing_has_a_line_on_every_dependency() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    asked = "".join((ROOT / name / "pyproject.toml").read_text() for name in (".", "template"))
    for name in set(re.findall(r'^ +"([a-z0-9-]+)(?:\[[a-z]+\])?(?:>=[^"]*)?",', asked, re.M)):
        assert re.search(rf"^\| .*\b{name}\b.* \|", text, re.M), name


def test_the_wheel_is_what_is_tested() -> None:
    where = subprocess.run(
        [BIN / "python", "-c", "import asgi_quickstart; print(asgi_quickstart.__file__)"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "site-packages" in where.stdout


@pytest.mark.slow
def test_the_commands_that_update_are_understood(quickstart: Quickstart) -> None:
    """On a service of this command, each with --dry-run."""
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    commands = re.findall(
        r"^    asgi-quickstart (update.*?)(?:  +#.*)?$", "\n".join(page.read_text() for page in pages), re.M
    )
    assert len(commands) >= 6
    assert quickstart("new", "orders", "--no-install").returncode == 0
    git(quickstart.folder / "orders", "init", "--quiet")
    commit(quickstart.folder / "orders")
    (quickstart.folder / "orders/orders").symlink_to(".")  # some name the service, some are typed in it
    edit(quickstart.folder / "orders/.git/info/exclude", "", "/orders\n")
    quickstart.folder /= "orders"
    for line in commands:
        result = quickstart(*line.split(), *(["--dry-run"] if "--dry-run" not in line else []))
        assert result.returncode == 0, line + result.stderr
        assert ("diff --git" in result.stdout) == ("--m" in line or "--s" in line), line
