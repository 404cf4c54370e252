"""What a full garbage collection takes in a worker, while every request waits: what it has loaded kept from it, and not."""

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from .contest import BENCH, environment, quickstart

WORKER = """
import asyncio, gc, json, sys, time
from main import app

def collection():
    begin = time.process_time()
    gc.collect()
    return (time.process_time() - begin) * 1000

async def measure():
    async with app.router.lifespan_context(app):
        kept = collection()
        gc.unfreeze()
        json.dump({"kept_ms": kept, "not_kept_ms": collection()}, sys.stdout)

asyncio.run(measure())
"""


def measure(processes: int = 7) -> dict[str, float]:
    """Milliseconds, the median of the first in so many processes, by whether what was loaded is kept from the collector."""
    with tempfile.TemporaryDirectory() as name:
        service = quickstart("gunicorn", Path(name))
        answers = [
            subprocess.run(
                [BENCH / "bin" / "python", "-c", WORKER],
                cwd=service.folder,
                env=environment(service, Path(name), 8000),
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            for _ in range(processes)
        ]
    taken: list[dict[str, float]] = [json.loads(answer) for answer in answers]
    return {key: round(statistics.median(one[key] for one in taken), 1) for key in taken[0]}
