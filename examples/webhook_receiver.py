"""A receiver of webhooks that trusts nobody, and the relay that carries the log to it.

It checks the signature over the very bytes that came (so does the package `standardwebhooks`), takes nothing
that is old, and takes an event once, however often it comes.
"""

import base64
import hmac
import json
import os
import secrets
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from clawguard import SessionManager
from clawguard.clock import SECOND, SystemClock
from clawguard.errors import ReceiverFailed
from clawguard.relays.webhook import WebhookRelay

KEY = secrets.token_bytes(32)
SECRET = "whsec_" + base64.b64encode(KEY).decode()  # both sides have it, and nobody else
TOLERANCE = 300  # seconds; what was signed longer ago may have been caught and kept
taken: set[str] = set()  # in earnest a table with a unique id, written with whatever the event causes


def is_genuine(headers: Message, body: bytes) -> bool:
    key, at, signatures = (headers[f"webhook-{name}"] or "" for name in ("id", "timestamp", "signature"))
    if not at.isdecimal() or len(at) > 10 or abs(time.time() - int(at)) > TOLERANCE:
        return False
    content = b".".join((key.encode(), at.encode(), body))
    expected = "v1," + base64.b64encode(hmac.digest(KEY, content, "sha256")).decode()
    return any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures.split(" "))


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many events

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = is_genuine(self.headers, body)
        if genuine:
            event = json.loads(body)
            is_new = event["id"] not in taken
            print(f"{event['type']} of {event['data']['agent_id']}" if is_new else "again, and taken before")
            taken.add(event["id"])  # last of all, and only then the answer
        self.send_response(200 if genuine else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


class AnHourAgo(SystemClock):
    def now(self) -> int:
        return super().now() - 3_600 * SECOND


def main(manager: SessionManager, url: str) -> None:
    with WebhookRelay(url, secret=SECRET, source=manager.issuer) as relay:
        manager.on("session.*", relay, durable="hook")
        manager.revoke(manager.create("planner", scopes="docs:read"), reason="leaked")
        while len(taken) < 2:
            time.sleep(0.01)  # another thread serves it
        event = manager.events.read(types="session.expired")[-1]
        relay(event)
    for secret, clock in ((f"whsec_{'A' * 43}=", SystemClock()), (SECRET, AnHourAgo())):
        try:
            WebhookRelay(url, secret=secret, clock=clock)(event)
        except ReceiverFailed as refusal:
            print(f"forged, or old: {refusal}")


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with SessionManager.open(os.environ.get("CLAWGUARD_URL", ":memory:")) as opened:
            main(opened, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
