"""How large the images are and how quickly they start, beside an image as most write it and a start without a container.

Run as `python -m bench.image`; it writes `bench/results/image.json` and the table in `docs/deployment.md`.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests import containers
from tests.service import Service, write_service
from tests.tables import DOCS, replace
from tests.template.images import BASES, MANAGERS, OURS, Images

RESULTS = Path(__file__).parent / "results" / "image.json"
PAGE, MARK = DOCS / "deployment.md", "image figures"
ROUNDS = 9
PYTHON = "docker.io/library/python:3.13-slim"
PLAIN = f"""FROM {PYTHON}
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt pip install --no-cache-dir -r requirements.txt
COPY . .
CMD ["gunicorn", "main:app", "-c", "uvicorn.conf.py"]
"""


def plain(service: Service) -> str:
    """The image of the same service as most write it: `pip install`, `COPY . .`, no byte code but that of the packages."""
    containers.build(containers.STAND_INS, "--file", containers.STAND_INS / "python.Dockerfile", tag=PYTHON)
    (service.folder / ".dockerignore").unlink()
    (service.folder / "Dockerfile").write_text(PLAIN)
    containers.build(service.folder, f"--secret=id=ca,src={containers.CA}", tag=f"{OURS}/plain")
    return f"localhost/{OURS}/plain"


def size(image: str) -> int:
    return int(json.loads(containers.podman("image", "inspect", image))[0]["Size"])


def bare(service: Service) -> float:
    """Seconds from `make run` to the first 200."""
    started = time.perf_counter()
    with service.started("run", HOST="127.0.0.1"):
        return time.perf_counter() - started


def measure() -> dict[str, Any]:
    """Every image built, then started in turn, so that a slow minute hits all of them."""
    containers.bases()
    with tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
        images = Images(Path(folder))
        names = {f"{manager}, {base}": images(manager, base) for base in BASES for manager in MANAGERS}
        copy = Service(Path(folder) / "plain")
        of_pip = images.service("pip", "distroless").folder
        shutil.copytree(of_pip, copy.folder, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
        names["`python:slim`, `pip install`, `COPY . .`"] = plain(copy)
        starts: dict[str, Callable[[], float]] = {
            name: partial(containers.cold_start, image) for name, image in names.items()
        }
        sizes: dict[str, int | None] = {name: size(image) for name, image in names.items()}
        service = write_service(Path(folder) / "bare")
        starts["bare machine, `make run`"] = partial(bare, service)
        sizes["bare machine, `make run`"] = None
        seconds: dict[str, list[float]] = {name: [] for name in starts}
        for _ in range(ROUNDS):
            for name, start in starts.items():
                seconds[name].append(start())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.freedesktop_os_release()['PRETTY_NAME']}",
        "podman": subprocess.run(["podman", "--version"], capture_output=True, text=True).stdout.split()[-1],
        "rounds": ROUNDS,
        "base": {base: size({"distroless": containers.DISTROLESS, "slim": containers.DEBIAN}[base]) for base in BASES},
        "rows": [
            {"name": name, "size": sizes[name], "seconds": round(statistics.median(times), 3)}
            for name, times in seconds.items()
        ],
    }


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    rows = ["| image | uncompressed | start to the first 200 |", "|---|---:|---:|"]
    for row in results["rows"]:
        megabytes = f"{row['size'] / 1e6:.0f} MB" if row["size"] else ""
        rows.append(f"| {row['name']} | {megabytes} | {row['seconds']:.2f} s |")
    bases = " and ".join(f"{size / 1e6:.0f} MB ({base})" for base, size in results["base"].items())
    origin = (
        f"Of which the base is {bases}. Median of {results['rounds']} by `podman run` {results['podman']}, "
        f"{results['date']}, {results['machine']}; on base images made from Debian's packages."
    )
    return "\n".join([*rows, "", origin]) + "\n"


def main() -> None:
    results = measure()
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    replace(PAGE, MARK, table(results))
    print(table(results))


if __name__ == "__main__":
    main()
