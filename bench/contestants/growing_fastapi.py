"""FastAPI with so many routes: `ROUTES`."""

import os

from fastapi import FastAPI

app = FastAPI()


@app.get("/plain")
async def plain() -> str:
    return "up"


async def answer(id: int) -> dict[str, int]:
    return {"id": id}


for number in range(int(os.environ.get("ROUTES", 1))):
    app.get(f"/route{number}/{{id}}")(answer)
