"""The models of contestants whose framework has no validation of its own: with Pydantic, as FastAPI."""

from pydantic import BaseModel, Field, TypeAdapter


class Item(BaseModel):
    id: int = Field(ge=1)
    name: str = Field(min_length=1)
    price: float = Field(ge=0)
    in_stock: bool
    tags: list[str]


class Order(BaseModel):
    name: str = Field(min_length=1)
    quantity: int = Field(ge=1)
    price: float = Field(ge=0)


ITEMS = TypeAdapter(list[Item])
