"""FastAPI as it comes, with this service's endpoints: what their annotations bring by themselves."""

from fastapi import FastAPI

from .quickstart import add

app = FastAPI()
add(app)
