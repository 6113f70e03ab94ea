"""`clawguard serve`: sessions, keys, the log and the OAuth endpoints over HTTP. The extra is `server`.

app.py      create_app: all routers, one state
running.py  serve: uvicorn, the first token (first_start.py), logs (logs.py), a stop that finishes what began
settings.py state.py   what a server is told; what it holds
callers.py  who calls, and what they may hand on
sessions.py history.py events.py keys.py   the REST endpoints; their bodies: models.py, fields.py, answers.py,
            read by bodies.py
oauth.py forms.py shown.py wellknown.py   the OAuth endpoints, their forms, tokens in bodies, metadata
checking.py what verifiers elsewhere ask
tail.py     the end of the log, read once for all streams
boundary.py problems.py   around every request: id, limits, log line; problem JSON
rates.py loads.py   how often, how much at once
health.py metrics.py   is it alive, is it ready, how does it do
"""

from clawguard.server.app import create_app
from clawguard.server.running import serve
from clawguard.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]
