"""Django's ASGI side with async views and no middleware, with Pydantic for what is validated."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from pydantic import ValidationError

from data import AREAS, CHUNKS, PARTS, ROWS
from models import ITEMS, Item, Order

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="measured", DEBUG=False)


async def current_user(request):
    return request.GET.get("authorization", "anonymous")


async def plain(request):
    return HttpResponse("Hello, world!", content_type="text/plain")


async def small(request):
    return JsonResponse({"message": "Hello, world!"})


async def items(request):
    return HttpResponse(ITEMS.dump_json([Item(**row) for row in ROWS]), content_type="application/json")


async def order(request):
    try:
        order = Order.model_validate_json(request.body)
    except ValidationError as error:
        return JsonResponse({"detail": str(error)}, status=422)
    return JsonResponse({"name": order.name, "total": order.quantity * order.price})


async def user(request, id):
    limit = int(request.GET.get("limit", 10))
    return JsonResponse({"id": id, "limit": limit, "user": await current_user(request)})


async def stream(request):
    async def chunks():
        for chunk in CHUNKS:
            yield chunk

    return StreamingHttpResponse(chunks(), content_type="application/octet-stream")


def part(area, number):
    async def answer(request, thing):
        return JsonResponse({"area": area, "part": number, "thing": thing})

    return answer


def shelf(area):
    return [path(f"things/<int:thing>/part{number}", part(area, number)) for number in range(PARTS)]


urlpatterns = [
    path("plain", plain),
    path("json", small),
    path("items", items),
    path("orders", order),
    path("users/<int:id>", user),
    path("stream", stream),
    path("shelves/", include([path(f"area{area}/", include(shelf(area))) for area in range(AREAS)])),
]
app = get_asgi_application()
