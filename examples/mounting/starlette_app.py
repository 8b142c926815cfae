"""Channels in Starlette.  Run it: ``uvicorn examples.mounting.starlette_app:app``."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


async def say(request: Request) -> Response:
    endpoint.broadcast("room:lobby", "new_message", {"body": request.query_params["text"]})
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/say", say, methods=["POST"]), Mount("/", endpoint)],
    lifespan=endpoint.lifespan,
)
