"""Health checks, for load balancers and orchestrators."""

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel

# :: if realtime == "full"
from app.channels import channels

# :: endif
router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The response of every health check."""

    status: str


@router.head("/", include_in_schema=False)
@router.head("/health/live", include_in_schema=False)
@router.get("/")
@router.get("/health/live")
async def live() -> Health:
    """The event loop responds. Nothing else is checked, because a restart would fix nothing else."""
    return Health(status="ok")


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", responses={503: {"model": Health}})
async def ready(request: Request, response: Response) -> Health:
    """Ready for requests: started, and not draining. Add checks for whatever this service cannot work without."""
    draining = getattr(request.state, "draining", None)  # set by the lifespan
    # :: if realtime == "full"
    if not channels.available:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Health(status="no redis")
    # :: endif
    if draining and not draining.begun:
        return Health(status="ok")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Health(status="draining" if draining else "starting")
