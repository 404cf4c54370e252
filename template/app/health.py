"""Health checks: what a load balancer or an orchestrator asks."""

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel

# :: if realtime == "full"
from app.channels import channels

# :: endif
router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of every health check."""

    status: str


@router.get("/")
@router.get("/health/live")
async def live() -> Health:
    """The event loop answers. Nothing else is asked: a restart would mend nothing else."""
    return Health(status="ok")


@router.get("/health/ready", responses={503: {"model": Health}})
async def ready(request: Request, response: Response) -> Health:
    """New requests are welcome: started, and not draining. Add here what this service cannot work without."""
    draining = getattr(request.state, "draining", None)  # the lifespan puts it there
    # :: if realtime == "full"
    if not channels.available:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Health(status="no redis")
    # :: endif
    if draining and not draining.begun:
        return Health(status="ok")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Health(status="draining" if draining else "starting")
