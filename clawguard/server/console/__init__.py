"""The console: pages for people, at `/console`, over the same endpoints as the JSON.

app.py      add_console: an app of its own below the server's, with the server's state and a cookie
sheets.py   a page for a caller: what its templates get
around.py   around every answer: the headers that keep a page to itself; problems shown as pages
entry.py    log in and out
sessions.py revoking.py agents.py events.py keys.py charts.py   the pages
tallies.py  what the charts show, reckoned from the log
templates/ static/   what they are made of; static/README.md says where the libraries are from
"""

from clawguard.server.console.app import PATH, add_console

__all__ = ["PATH", "add_console"]
