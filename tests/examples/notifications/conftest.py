"""The example as its users meet it: a server in this process, or a process that serves it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn

from examples.notifications.app import app
from examples.notifications.service import store

ROOT = Path(__file__).parents[3]
WEB = ROOT / "examples/notifications/web"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


# The application in this process


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "notifications.db"
    monkeypatch.setattr(store, "path", path)
    return path


@pytest.fixture
async def http(database: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a server between."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://example") as client,
    ):
        yield client


class Site:
    """A uvicorn server of the application."""

    def __init__(self, address: str) -> None:
        self.http = httpx.AsyncClient(base_url=f"http://{address}")
        self.socket = f"ws://{address}/socket"

    async def token(self, user: str) -> str:
        answer = await self.http.post("/demo/login", json={"user": user})
        return str(answer.json()["token"])

    async def post(self, author: str, text: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {await self.token(author)}"}
        return await self.http.post("/posts", json={"text": text}, headers=headers)


@pytest.fixture
async def site(database: Path) -> AsyncIterator[Site]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    site = Site("{}:{}".format(*listener.getsockname()))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        async with site.http:
            yield site
        server.should_exit = True


# The application in a process of its own


def install(folder: Path) -> None:
    """Do ``npm ci``, unless that was done since the lock file changed."""
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if shutil.which("npm") is None:
        pytest.skip("npm is missing")
    subprocess.run(["npm", "ci"], cwd=folder, check=True)


@pytest.fixture(scope="session")
def npm_ci() -> Callable[[Path], None]:
    return install


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """This process's environment, in which a child finds the library where this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Demo:
    """``python -m examples.notifications``, on the same port and the same database after a restart."""

    def __init__(self, database: Path, environment: dict[str, str]) -> None:
        self.database = database
        self.environment = environment
        self.port = 0
        self.url = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "examples.notifications"]
        command += ["--port", str(self.port), "--database", str(self.database)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the example does not start: {self.process.communicate()[1]}")
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> tuple[int, str, str]:
        """Press Ctrl-C; return the exit code, the rest of the output, and the complaints."""
        self.process.send_signal(signal.SIGINT)
        try:
            output, errors = self.process.communicate(timeout=20)
        finally:
            self.process.kill()  # harmless when it has ended
        return self.process.returncode, output, errors


@pytest.fixture
def demo(tmp_path: Path, environment: dict[str, str]) -> Iterator[Demo]:
    install(WEB)
    demo = Demo(tmp_path / "notifications.db", environment)
    demo.start()
    yield demo
    if demo.process.poll() is None:
        code, _, errors = demo.stop()
        assert (code, errors) == (0, "")
