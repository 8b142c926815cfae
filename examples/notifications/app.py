"""The web application: a page, a JSON API, and the endpoint of the channels beside them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints

from . import service
from .channels import UserSocket
from .service import NobodyToNotify, Published, endpoint, store
from .store import User

WEB = Path(__file__).with_name("web")
PHOENIX_JS = WEB / "node_modules/phoenix/priv/static"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    store.open()
    try:
        async with endpoint.lifespan(app):
            yield
    finally:
        store.close()


app = FastAPI(title="Notifications", lifespan=lifespan)
endpoint.socket("/socket", UserSocket, longpoll=True)


@app.exception_handler(RequestValidationError)
def refuse(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong as the views do, and leave out the input: what cannot be stored cannot be sent back either."""
    return JSONResponse({"detail": "; ".join(problem["msg"] for problem in error.errors())}, 422)


class NewPost(BaseModel):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


def signed_in(bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]) -> User:
    user = service.logged_in(bearer.credentials if bearer else None)
    if user is None:
        raise HTTPException(401, "A valid token is needed.", {"WWW-Authenticate": "Bearer"})
    return user


SignedIn = Annotated[User, Depends(signed_in)]


@app.post("/posts", status_code=201)
def create_post(post: NewPost, author: SignedIn) -> Published:
    """Publish a post. A plain ``def`` runs in a worker thread, and broadcasts from there."""
    try:
        return service.publish(author.id, post.text)
    except NobodyToNotify as error:
        raise HTTPException(422, {"message": str(error), "unknown": error.unknown}) from None


@app.get("/demo/users")
def demo_users() -> list[User]:
    return store.users()


@app.post("/demo/login")
def demo_login(user: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    """Hand out a user's token for the asking. It stands for a login: never do this outside a demonstration."""
    found = store.user(user)
    if found is None:
        raise HTTPException(404, "There is no such user.")
    return {"token": service.log_in(found)}


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(WEB / "index.html")


app.mount("/assets", StaticFiles(directory=WEB / "assets"))
app.mount("/phoenix", StaticFiles(directory=PHOENIX_JS, check_dir=False))  # the npm package, as `npm ci` put it there
app.mount("/", endpoint)  # everything else: the socket at /socket/websocket
