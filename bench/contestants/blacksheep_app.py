"""BlackSheep, with Pydantic for what is validated."""

from blacksheep import Application, Content, FromJSON, FromQuery, Request, Response, StreamedContent, json, text
from pydantic import ValidationError

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order

app = Application(show_error_details=False)
get, post = app.router.get, app.router.post


class User:
    def __init__(self, name: str) -> None:
        self.name = name


def current_user() -> User:
    return User("anonymous")


app.services.add_scoped_by_factory(current_user, User)


@get("/plain")
async def plain() -> Response:
    return text("Hello, world!")


@get("/json")
async def small() -> Response:
    return json({"message": "Hello, world!"})


@get("/items")
async def items() -> Response:
    return Response(200, content=Content(b"application/json", ITEMS.dump_json([Item(**row) for row in ROWS])))


@post("/orders")
async def order(order: FromJSON[Order]) -> Response:
    given = order.value
    return json({"name": given.name, "total": given.quantity * given.price})


@get("/users/{int:user_id}")
async def user(user_id: int, user: User, limit: FromQuery[int] = FromQuery(10)) -> Response:
    return json({"id": user_id, "limit": limit.value, "user": user.name})


@get("/stream")
async def stream() -> Response:
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return Response(200, content=StreamedContent(b"application/octet-stream", chunks))


def part(area: int, number: int):
    async def answer(thing: int) -> Response:
        return json({"area": area, "part": number, "thing": thing})

    return answer


for area in range(AREAS):
    for number in range(PARTS):
        get(f"/shelves/area{area}/things/{{int:thing}}/part{number}")(part(area, number))


@app.exception_handler(ValidationError)
async def invalid(app: Application, request: Request, error: ValidationError) -> Response:
    return json({"detail": str(error)}, 422)
