"""Channels in FastAPI.  Run it: ``uvicorn examples.mounting.fastapi_app:app``."""

from fastapi import FastAPI

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)

app = FastAPI(lifespan=endpoint.lifespan)


@app.post("/say", status_code=204)
def say(text: str) -> None:
    endpoint.broadcast("room:lobby", "new_message", {"body": text})


app.mount("/", endpoint)
