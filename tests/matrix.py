"""The table of what was tested, written from the outcome of a complete run."""

from collections.abc import Mapping
from importlib.metadata import version

from asgi_quickstart.options import document, options

from .service import combinations
from .tables import DOCS, replace

RENDERED = "tests/template/test_render.py::test_passes_its_own_checks_and_tests"
BOOTED = "tests/template/test_render.py::test_boots_and_answers"
SHIPPED = "tests/template/test_image.py::test_answers_over_http_a_stream_and_a_websocket_and_drains"
INSTALLED = "tests/template/test_install.py::test_from_an_empty_folder_to_the_first_answer"

PACKAGES = ("fastapi", "gunicorn", "uvicorn", "uvicorn-worker", "granian", "hypercorn", "copier", "uv")


def tests() -> list[str]:
    """Every test that has a cell in the table."""
    labels = ["-".join(combination.values()) for combination in combinations()]
    managers = next(option for option in options() if option.name == "manager").choices
    return [f"{test}[{label}]" for test in (RENDERED, BOOTED) for label in labels] + [
        test for manager in managers for test in (f"{INSTALLED}[{manager}]", *shipped(manager))
    ]


def shipped(manager: str) -> list[str]:
    """The tests of the manager's images."""
    return [f"{SHIPPED}[{manager}-{base}]" for base in document()["images"]["default"]]


def table(outcomes: Mapping[str, str]) -> str:
    """The outcome of each combination in Markdown."""
    heads = list(combinations()[0])
    rows = [
        f"| {' | '.join(heads)} | format, lint, types, own tests | `make run` and `make dev` asked | locked, installed, drift refused | both images built, run, asked |",
        "|---" * (len(heads) + 4) + "|",
    ]
    for combination in combinations():
        label = "-".join(combination.values())
        cells = [outcomes[f"{test}[{label}]"] for test in (RENDERED, BOOTED)]
        default = all(
            combination[option.name] == option.default for option in options()[2:] if option.name in combination
        )
        manager = combination["manager"]
        cells.append(outcomes[f"{INSTALLED}[{manager}]"] if default else "")
        cells.append(min(outcomes[test] for test in shipped(manager)) if default else "")  # "no" is before "yes"
        rows.append(f"| {' | '.join([*combination.values(), *cells])} |")
    return "\n".join(rows) + "\n"


def write(outcomes: Mapping[str, str]) -> bool:
    """Write the table, if every cell of it was run."""
    if not set(tests()) <= set(outcomes):
        return False
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    replace(DOCS / "tested.md", "matrix", f"{table(outcomes)}\nWith {versions}.\n")
    return True
