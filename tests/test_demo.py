"""The first command a newcomer types, in a fresh clone with an empty HOME."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest

from .service import clean_environment, eventually, free_port

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_make_demo_serves_and_reloads_in_a_fresh_clone(tmp_path: Path) -> None:
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    (tmp_path / "home").mkdir()
    port = free_port()
    log = tmp_path / "log"
    environment = clean_environment() | {
        "HOME": str(tmp_path / "home"),
        "PORT": str(port),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache/uv")),  # spares the network, proves the same
    }
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", "demo"], cwd=clone, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(lambda: httpx2.get(url).is_success, 240, log.read_text)
        said = log.read_text()
        for words in ("Setting up .venv", "Building the wheel", "files written to demo", "Locking with uv", url):
            assert words in said
        health = clone / "demo/app/health.py"
        health.write_text(health.read_text().replace('status="ok"', 'status="edited"'))
        eventually(lambda: "edited" in httpx2.get(url).text, 10, log.read_text)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
