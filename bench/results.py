"""The results: sections, each with the machine and the versions that it was measured with, in one file."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .contest import BENCH

SCHEMA = 1  # a reader may rely on the names of a schema
LATEST = Path(__file__).parent / "results" / "latest.json"
QUICK = BENCH.parents[1] / "bench" / "quick.json"  # for a look, not for the docs

VERSIONS = """
import importlib.metadata as metadata, json
print(json.dumps({one.name.lower().replace("_", "-"): one.version for one in metadata.distributions()}))
"""
GENERATORS = ("cookiecutter", "fastapi-fastkit", "fastapi-new", "fastapi-template")
MEASURED = (
    *("asgi-correlation-id", "blacksheep", "django", "falcon", "fastapi", "flask", "granian", "gunicorn", "httptools"),
    *("hypercorn", "litestar", "msgspec", "pydantic", "python-json-logger", "quart", "starlette", "uvicorn"),
    *("uvicorn-worker", "uvloop", "watchfiles"),
)


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names this machine."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.platform(terse=True)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": system,
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Linux knows the model, others the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def versions() -> dict[str, str]:
    """The versions of what was measured, each of its own environment."""
    found = {"asgi-quickstart": version("asgi-quickstart"), "copier": version("copier"), "uv": version("uv")}
    for environment in ("bench", *GENERATORS):
        python = BENCH.parent / environment / "bin" / "python"
        if python.exists():
            output = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout
            wanted = MEASURED if environment == "bench" else (environment,)
            found |= {name: number for name, number in json.loads(output).items() if name in wanted}
    for name, words in (("nginx", ["nginx", "-v"]), ("wrk", ["wrk", "-v"])):
        if shutil.which(name):
            said = subprocess.run(words, capture_output=True, text=True)
            found[name] = re.findall(r"(?:nginx/|wrk )(\S+)", said.stdout + said.stderr)[0]
    return dict(sorted(found.items()))


def commit() -> str:
    """The state of this repository that was measured."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=LATEST.parent, capture_output=True, text=True
    )
    return said.stdout.strip() or "unknown"


def load(file: Path = LATEST) -> dict[str, Any]:
    """The results that were saved, none if there are none; those of another schema are not read."""
    saved: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return saved if saved.get("schema") == SCHEMA else {"schema": SCHEMA, "sections": {}}


def save(sections: Mapping[str, Any], file: Path = LATEST) -> dict[str, Any]:
    """Put sections that were measured now into the file, and leave the others as they are."""
    whole = load(file)
    origin = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }
    for name, figures in sections.items():
        whole["sections"][name] = origin | {"figures": figures}
    whole["sections"] = dict(sorted(whole["sections"].items()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=1) + "\n")
    return whole
