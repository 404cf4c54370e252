"""`make sbom` and `make audit`: of what runs in production, by every manager's own words."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from . import images
from .images import MANAGERS
from .test_install import user_environment

pytestmark = pytest.mark.slow

# What an index answers that has no such interface, to the tool alone.
NOT_FOUND = """
import requests

def get(*_, **__):
    response = requests.Response()
    response.status_code = 404
    return response

requests.Session.get = get
"""


class Advisories(BaseHTTPRequestHandler):
    """The OSV database, which knows of one vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = [
            {
                "id": "PYSEC-2026-1",
                "modified": "2026-01-01T00:00:00Z",
                "details": "planted",
                "affected": [
                    {
                        "package": {"name": "httptools", "ecosystem": "PyPI"},
                        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
                        "versions": [asked["version"]],
                    }
                ],
            }
        ]
        body = json.dumps({"vulns": known} if asked["package"]["name"] == self.vulnerable() else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def vulnerable(self) -> str:
        return "httptools" if self.path == "/vulnerable" else ""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[str]:
    """The address of the database; below it /vulnerable knows of a vulnerability, /safe of none."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("manager", MANAGERS)
def test_both_tell_of_what_the_lock_names_for_production_and_of_nothing_else(
    manager: str, tmp_path: Path, database: str
) -> None:
    service = images.write(tmp_path / "our services/orders", manager)
    if not (service.folder / ".venv").exists():  # else its manager has made one to lock
        (service.folder / ".venv").symlink_to(sys.prefix)
    (tmp_path / "again").mkdir()
    (tmp_path / "our").mkdir()  # what a shell would take the folder's first word for
    (tmp_path / "active").mkdir()
    environment = {**user_environment(manager, tmp_path / "again"), "VIRTUAL_ENV": str(tmp_path / "active")}

    private = tmp_path / "private/house-1.0.dist-info"  # that no database knows: told, and nothing fails
    private.mkdir(parents=True)
    (private / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
    (private / "direct_url.json").write_text('{"url": "file:///srv/house", "dir_info": {"editable": true}}')

    def audit(path: str) -> subprocess.CompletedProcess[str]:
        options = f"--vulnerability-service osv --osv-url {database}{path} --path {private.parent} --skip-editable"
        return images.try_to_make(service, "audit", environment, f"OPTIONS={options}")

    safe = audit("/safe")
    assert safe.returncode == 0 and "No known vulnerabilities found" in safe.stderr, safe.stdout + safe.stderr
    assert re.search(r"^house +distribution marked as editable", safe.stdout, re.M), safe.stdout
    found = audit("/vulnerable")
    assert found.returncode != 0 and re.search(r"^httptools .*PYSEC-2026-1 +99.0", found.stdout, re.M), found.stdout

    if manager == "uv":  # it is the same tool with each of them
        (packages,) = (service.folder / ".audit_cache/lib").glob("python3*/site-packages")
        (packages / "sitecustomize.py").write_text(NOT_FOUND)
        nothing = images.try_to_make(service, "audit", environment)
        assert nothing.returncode != 0 and "fastapi" in nothing.stdout, nothing.stdout + nothing.stderr
        assert "nothing was audited: " in nothing.stderr
        (packages / "sitecustomize.py").unlink()

    images.make(service, "sbom", environment)
    bill = json.loads((service.folder / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "Orders"
    versions = {part["name"].lower(): part["version"] for part in bill["components"]}
    assert {"fastapi", "gunicorn", "uvicorn", "uvloop"} <= set(versions)
    assert not set(versions) & {"pip", "pytest", "mypy", "ruff", "httpx2", "watchfiles", *MANAGERS}
    lock = (service.folder / MANAGERS[manager]["lock_file"]).read_text().lower()
    assert all(version in lock for version in versions.values())
    installed = {part["bom-ref"] for part in bill["components"]}
    assert any(set(node.get("dependsOn", [])) & installed for node in bill["dependencies"])
    images.make(service, "production", environment)
    assert (tmp_path / "our").exists() and (tmp_path / "active").exists()
    assert list((service.folder / ".audit_cache/production/lib").glob("python3*/site-packages/fastapi"))
