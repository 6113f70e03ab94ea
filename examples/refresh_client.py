"""Agents of one machine share a session and its token file: whoever comes first refreshes, for all of them.

The host alone has the database. Three processes with four threads each ask for the token when it is near its
end: one redeem, over HTTP, and all of them go on with the next token.
"""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

from clawguard import SessionManager
from clawguard.clock import SECOND, SystemClock
from clawguard.refresh_client import RefreshClient


class Later(SystemClock):
    """Tell the time 40 minutes ahead, so that nobody has to wait for the end of a token."""

    def now(self) -> int:
        return super().now() + 2_400 * SECOND


def agent(path: str, port: str) -> None:
    """What each process runs: it knows the token file and the host's address."""

    def post(action: str, text: str) -> str:
        connection = HTTPConnection("127.0.0.1", int(port), timeout=5)
        connection.request("POST", action, body=text)
        return connection.getresponse().read().decode()

    def redeem(refresh_token: str) -> SimpleNamespace:
        token, successor, ends = json.loads(post("/redeem", refresh_token))
        at = datetime.fromisoformat(ends)
        return SimpleNamespace(token=token, refresh_token=successor, token_expires_at=at)

    client = RefreshClient(path, redeem, margin=1_500, clock=Later())
    with ThreadPoolExecutor(4) as pool:
        print(*set(pool.map(lambda _: post("/work", client.token()), range(4))))


def host(folder: Path) -> None:
    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == "/redeem":
                new = manager.redeem(text)
                answer = json.dumps([new.token, new.refresh_token, new.token_expires_at.isoformat()])
            else:
                answer = f"{manager.validate(text).agent_id} goes on"
            self.wfile.write(f"HTTP/1.0 200 OK\r\n\r\n{answer}".encode())

    with SessionManager.open(folder / "db" / "clawguard.db") as manager:
        session = manager.create("planner", scopes="docs:read", ttl=3_600, refreshable=True)
        RefreshClient(folder / "tokens", manager.redeem).keep(session)
        with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            command = [sys.executable, __file__, str(folder / "tokens"), str(server.server_port)]
            agents = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]  # noqa: S603
            for number, each in enumerate(agents):
                print(f"process {number}: {each.communicate()[0].strip()}")
            server.shutdown()
        print(f"generation {manager.get_session(session).generation}")


if __name__ == "__main__":
    if sys.argv[1:]:
        agent(*sys.argv[1:])
    else:
        with tempfile.TemporaryDirectory() as name:
            host(Path(name))
