"""Mentions, told by a view.  Run it: ``uvicorn examples.quickstart.mentions:app``."""

from fastapi import FastAPI

from examples.tour import endpoint

USERS = {"ada": "21", "grace": "22"}

app = FastAPI(lifespan=endpoint.lifespan)


@app.post("/posts", status_code=201)
def create_post(text: str) -> list[str]:
    """A plain ``def``: FastAPI runs it in a worker thread."""
    mentioned = [name for name in USERS if f"@{name}" in text]
    for name in mentioned:
        endpoint.broadcast(f"notifications:{USERS[name]}", "new_notification", {"body": text})
    return mentioned


app.mount("/", endpoint)
