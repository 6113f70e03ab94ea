"""From measured unit costs to what a deployment needs: the tables and the chart of `docs/scaling.md`.

`python -m benchmarks.capacity`, or `make scaling`, writes both from `benchmarks/units.json`. What is assumed
and not measured stands in `Load` and in the constants below; nothing else decides.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .marks import filled

__all__ = [
    "LOADS",
    "Check",
    "Load",
    "Needs",
    "chart",
    "checks",
    "main",
    "mean_wait",
    "needs_of",
    "read_units",
    "simulate",
    "simulate_wait",
    "tables",
]

_FOLDER = Path(__file__).parent
_PAGE = _FOLDER.parent / "docs" / "scaling.md"
_CHART = _FOLDER.parent / "docs" / "scaling.svg"

# From docs/benchmarks.md, on an idle machine: seconds of one act on one core.
_MISS, _FEED = 158.8e-6, 1 / 85_542
_HIT = 8.7e-6
_BUSY = 0.5  # how much of a database's time for one at a time is planned for; above it waits grow fast
_SERVER = 16  # cores of a database server
_CORES_BUSY = 0.6  # how much of a core is planned for
_READ_BYTES = 700  # of one validate that reads its row, both ways, with what TCP adds
_FEED_BYTES = 90  # of one event that is read for memory to be kept true
_PROCESSES = 32  # that one such process serves: validations/s are spread over so many a database
_CORE_MONTH, _GB_MONTH = 25.0, 0.1  # assumed prices
_DAY = 86_400


class Load(NamedTuple):
    """Hold what is asked: sessions live at once, validations a second, and how sessions live."""

    live: float
    validations: float
    life: float = _DAY  # seconds from create to end
    revoked: float = 0.1  # the share that is revoked; all others end by themselves
    kept: float = 7 * _DAY  # seconds that ended sessions and their events stay before a purge and an archive
    staleness: bool = True  # validate answers from memory, one second old at most


LOADS = tuple(
    Load(live, validations)
    for live, validations in (
        (1e3, 1e2), (1e4, 1e3), (1e5, 1e4), (1e6, 1e5), (1e7, 1e5), (1e8, 1e6), (1e9, 1e6),
    )
)  # fmt: skip


class Needs(NamedTuple):
    """Hold what a load needs: writes a second, databases, cores, bytes, bits a second, money."""

    writes: float
    databases: int
    server_cores: float
    app_cores: float
    stored: float
    network: float
    cost: float


class Check(NamedTuple):
    """Hold one measured point beside what the model says of it."""

    what: str
    measured: float
    predicted: float
    form: str = "/s"

    @property
    def factor(self) -> float:
        """How far the two are apart: 1 is the same."""
        return max(self.measured / self.predicted, self.predicted / self.measured)


@dataclass(frozen=True)
class Units:
    """Hold what was measured: see `benchmarks.units`."""

    told: dict[str, Any]

    def seconds(self, engine: str, act: str, what: str) -> float:
        """Return the seconds of an act: `wall`, `cpu` here, `server`, or `lock`, one act at a time."""
        return float(self.told["units"][engine][act][what])

    def bytes_of_session(self, engine: str) -> float:
        """Return the bytes of a session with its first event, as the first two sizes say."""
        (few, small), (more, large), *_ = self.told["bytes"][engine]["sizes"]
        return float((large - small) / (more - few))

    def bytes_of_end(self, engine: str) -> float:
        """Return what the end of a session adds."""
        return float(self.told["bytes"][engine]["end"])


def read_units(path: Path = _FOLDER / "units.json") -> Units:
    """Read what was measured."""
    return Units(json.loads(path.read_text(encoding="utf-8")))


def needs_of(load: Load, units: Units, *, engine: str = "postgresql") -> Needs:
    """Reckon what a load needs."""
    creates = load.live / load.life
    revokes, ends = creates * load.revoked, creates * (1 - load.revoked)
    acts = {"create": creates, "revoke": revokes, "sweep": ends}

    def each_second(what: str) -> float:
        return sum(often * units.seconds(engine, act, what) for act, often in acts.items())

    hit = _HIT if load.staleness else units.seconds(engine, "validate", "cpu")
    app = load.validations * hit + each_second("cpu")
    server, network = each_second("server"), creates * 2 * _READ_BYTES
    if load.staleness:
        followed = 2 * creates * _PROCESSES  # each process reads all events of its one database
        app += followed * _FEED + creates * _MISS
        server += followed * _FEED
        network += followed * _FEED_BYTES
    else:
        server += load.validations * units.seconds(engine, "validate", "server")
        network += load.validations * _READ_BYTES
    session = units.bytes_of_session(engine)
    stored = load.live * session + creates * load.kept * (session + units.bytes_of_end(engine))
    cores = (server + app) / _CORES_BUSY
    databases = math.ceil(max(each_second("lock") / _BUSY, server / _CORES_BUSY / _SERVER, 1))
    cost = max(cores, 1) * _CORE_MONTH + stored / 1e9 * _GB_MONTH
    return Needs(creates * 2, databases, server / _CORES_BUSY, app / _CORES_BUSY, stored, network * 8, cost)


def simulate(
    processes: int, *, away: float, held: float, places: int = 1, acts: int = 20_000, seed: int = 1
) -> float:
    """Return the acts a second of processes that share so many places: each is away, waits, then holds one.

    A write lock is one place, a machine's cores are some. Both times are drawn around their means, as a
    machine that does other things too makes them.
    """
    chance = random.Random(seed)
    ready = [(chance.expovariate(1 / away), number) for number in range(processes)]
    heapq.heapify(ready)
    free = [0.0] * places
    for _ in range(acts):
        came, number = heapq.heappop(ready)
        done = max(free[0], came) + chance.expovariate(1 / held)
        heapq.heapreplace(free, done)
        heapq.heappush(ready, (done + chance.expovariate(1 / away), number))
    return acts / max(free)


def simulate_wait(busy: float, *, lock: float, acts: int = 100_000, seed: int = 1) -> tuple[float, float]:
    """Return the mean and the 99th percentile of the waits for a lock that is busy for a share of time."""
    chance, now, free, waits = random.Random(seed), 0.0, 0.0, list[float]()
    for _ in range(acts):
        now += chance.expovariate(busy / lock)
        free = max(free, now)
        waits.append(free - now)
        free += lock
    return sum(waits) / acts, sorted(waits)[acts * 99 // 100]


def mean_wait(busy: float, *, lock: float) -> float:
    """Return the same mean by Pollaczek and Khinchine: arrivals at random, one time for all."""
    return busy * lock / (2 * (1 - busy))


def checks(units: Units) -> Iterator[Check]:
    """Hold the model against every measured point; each follows from what was measured of one process.

    Bytes: the third size from two.
    """
    alone = {(p["engine"], p["act"]): p for p in units.told["points"] if p["processes"] == 1}
    for point in units.told["points"]:
        engine, act, processes = point["engine"], point["act"], point["processes"]
        first = alone[engine, act]
        if processes == 1:
            continue  # what the others are predicted from
        name = f"{act}, {engine}, {processes} at once"
        if act == "validate":
            yield Check(f"{name}, a core", 1 / point["cpu"], 1 / first["cpu"])
        else:
            yield Check(name, point["rate"], _writes(units, first, processes))
    for engine, told in units.told["bytes"].items():
        (few, small), _, (many, large) = told["sizes"]
        predicted = small + (many - few) * units.bytes_of_session(engine)
        yield Check(f"{many:,} sessions, {engine}", large / 1e6, predicted / 1e6, " MB")


def _writes(units: Units, first: Mapping[str, Any], processes: int) -> float:
    """Return how often so many write, from how often one does.

    In a file they take turns at its lock. On a server they take turns at the cores, its own and theirs, which
    are the same here; the disk takes all at once.
    """
    engine, cores = first["engine"], units.told["cores"]
    server = units.seconds(engine, first["act"], "server")
    if not server:
        turns = simulate(processes, away=first["away"] + first["wait"], held=first["lock"])
        return min(turns, float(cores / first["cpu"]))
    computed = first["cpu"] + server
    disk = max(1 / first["rate"] - computed, computed / 100)
    return simulate(processes, away=disk, held=computed, places=cores)


def tables(units: Units) -> dict[str, str]:
    """Return the tables of the page by their names."""
    return {"units": _units_table(units), "points": _points_table(units), "needs": _needs_table(units)}


def _units_table(units: Units) -> str:
    rows = []
    for engine, acts in units.told["units"].items():
        for act in acts:
            wall, *costs = (units.seconds(engine, act, what) for what in ("wall", "cpu", "server", "lock"))
            most = [f"{1 / cost:,.0f}/s" if cost else "-" for cost in costs]
            cells = [f"{cost * 1e6:,.0f} us" if cost else "-" for cost in costs]
            pairs = (cell for pair in zip(cells, most, strict=True) for cell in pair)
            rows.append([f"{act}, {engine}", f"{wall * 1e6:,.0f} us", *pairs])
    head = [
        "act",
        "one call",
        "computed here",
        "a core",
        "by the server",
        "a core",
        "one at a time",
        "at most",
    ]
    sizes = [
        [engine, f"{units.bytes_of_session(engine):,.0f} B", f"{units.bytes_of_end(engine):,.0f} B"]
        for engine in units.told["bytes"]
    ]
    return f"{_table(head, rows)}\n\n{_table(['engine', 'a session and its event', 'its end'], sizes)}"


def _points_table(units: Units) -> str:
    rows = [
        [
            each.what,
            f"{each.measured:,.1f}{each.form}",
            f"{each.predicted:,.1f}{each.form}",
            f"{each.factor:.2f} x",
        ]
        for each in checks(units)
    ]
    return _table(["point", "measured", "predicted", "apart"], rows)


def _needs_table(units: Units) -> str:
    rows = []
    for load in LOADS:
        for staleness in (False, True):
            asked = load._replace(staleness=staleness)
            need = needs_of(asked, units)
            rows.append(
                [
                    f"{load.live:,.0f}", f"{load.validations:,.0f}/s", "1 s" if staleness else "0",
                    f"{need.writes:,.1f}/s", f"{need.databases:,}", f"{need.server_cores:,.1f}",
                    f"{need.app_cores:,.1f}", _size(need.stored), f"{need.network / 1e6:,.1f} Mbit/s",
                    f"{need.cost:,.0f}",
                ]
            )  # fmt: skip
    head = ["live", "validations", "staleness", "creates and ends", "databases", "server cores", "app cores",
            "stored", "network", "cost a month"]  # fmt: skip
    return _table(head, rows)


def _size(count: float) -> str:
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 360, 60, 40
_LINES = (("databases", "#1f6feb"), ("server_cores", "#bf3989"), ("app_cores", "#1a7f37"))


def chart(units: Units) -> str:
    """Return the chart, as SVG: databases and cores by live sessions, both in powers of ten."""
    decades = range(3, 10)
    found = {live: needs_of(Load(10.0**live, 10.0 ** (live - 3)), units) for live in decades}
    top = math.ceil(math.log10(max(max(need[1:4]) for need in found.values())))

    def place(live: float, value: float) -> tuple[float, float]:
        across = _LEFT + (live - 3) / 6 * (_WIDTH - _LEFT - 120)
        up = max(0.0, math.log10(max(value, 0.1)) + 1) / (top + 1)
        return across, _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - 20)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12"><title>Databases and cores by live sessions</title>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    ]
    for power in range(-1, top + 1):
        _, y = place(3, 10.0**power)
        label = f"{10.0**power:g}" if power < 4 else f"1e{power}"
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 120}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for live in decades:
        x, _ = place(live, 1)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">1e{live}</text>')
    for name, colour in _LINES:
        points = [place(live, getattr(found[live], name)) for live in decades]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        x, y = points[-1]
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{name.replace("_", " ")}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}">live sessions</text></svg>')
    return "\n".join(parts) + "\n"


def page(text: str, units: Units) -> str:
    """Return the page with its tables made anew."""
    for name, table in tables(units).items():
        text = filled(text, name, table)
    return text


def main() -> None:
    """Write the page's tables and its chart."""
    units = read_units()
    _PAGE.write_text(page(_PAGE.read_text(encoding="utf-8"), units), encoding="utf-8")
    _CHART.write_text(chart(units), encoding="utf-8")
    worst = max(checks(units), key=lambda each: each.factor)
    print(f"wrote {_PAGE.name} and {_CHART.name}; apart by {worst.factor:.2f} x at most: {worst.what}")


if __name__ == "__main__":
    main()
