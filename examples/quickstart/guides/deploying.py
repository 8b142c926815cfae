"""An application as it is deployed: its own server, a health check, and rounds of draining.

Run it: ``python -m examples.quickstart.guides.deploying``.
"""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from examples.quickstart.server import UserSocket
from phoenix_channels import Drainer, Endpoint, serve

# Start: app
endpoint = Endpoint(host=os.environ.get("PUBLIC_HOST"))
endpoint.socket("/socket", UserSocket, drainer=Drainer(batch_size=1_000, batch_interval=1.0, shutdown=20.0))


async def health(_: Request) -> JSONResponse:
    found = endpoint.health()
    return JSONResponse({"draining": found.draining}, status_code=200 if found.ok else 503)


app = Starlette(routes=[Route("/health", health), Mount("/", endpoint)], lifespan=endpoint.lifespan)
# End: app


# Start: serve
def main() -> None:
    serve(app, host="127.0.0.1", port=int(os.environ.get("PORT", "4000")))


# End: serve

if __name__ == "__main__":
    main()
