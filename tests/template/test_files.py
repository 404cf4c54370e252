"""Files: what an endpoint sends of them passes through the middleware, as any answer does."""

from pathlib import Path

import pytest

from ..promises import SERVERS
from ..service import Service

pytestmark = pytest.mark.slow

FILE = """
from fastapi.responses import FileResponse
from starlette.middleware.gzip import GZipMiddleware

app.add_middleware(GZipMiddleware)


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse("main.py")
"""


@pytest.mark.parametrize("service", [{"server": name} for name in SERVERS], ids=SERVERS, indirect=True)
def test_a_file_is_compressed_where_the_owner_asks_for_it(service: Service) -> None:
    main: Path = service.folder / "main.py"
    main.write_text(main.read_text() + FILE)
    with service.started("run", HOST="127.0.0.1", WEB_CONCURRENCY="1"):
        answer = service.get("/file", headers={"Accept-Encoding": "gzip"})
        assert (answer.headers["content-encoding"], answer.text) == ("gzip", main.read_text())
        part = service.get("/file", headers={"Range": "bytes=5-10"})
        assert (part.status_code, part.text) == (206, main.read_text()[5:11])
