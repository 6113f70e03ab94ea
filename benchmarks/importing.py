"""The import: ours against the import of all that it brings in and that is not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from .harness import Pair, Result, Setting, benchmark

_LIST = """
import json, sys
before = set(sys.modules)
import clawguard
print(json.dumps([name for name in sys.modules if name not in before and name.split(".")[0] != "clawguard"]))
"""
_TIME = """
import sys, time, importlib, json
names = json.loads(sys.argv[1])
start = time.perf_counter()
for name in names:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(time.perf_counter() - start)
"""


@benchmark("import")
def importing(setting: Setting) -> Iterator[Result]:
    """import clawguard, to the import of its dependencies alone"""
    cache = str(setting.path("import").parent)
    names = json.loads(_python(cache, _LIST))
    ours, theirs = json.dumps(["clawguard"]), json.dumps(names)
    mine, others = [], []
    for _ in range(setting.size(31, 11)):
        mine.append(float(_python(cache, _TIME, ours)))
        others.append(float(_python(cache, _TIME, theirs)))
    pair = Pair(mine, others)
    pydantic = "pydantic loaded" if "pydantic" in names else "pydantic deferred"
    yield Result("import, to its dependencies", pair.ratio, 1.15, detail=f"{pair.detail}; {pydantic}")


def _python(cache: str, code: str, *arguments: str) -> str:
    """Run in a new interpreter that keeps its bytecode, as an installed library's is kept."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
