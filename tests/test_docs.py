"""The documents: every Python block runs and prints what stands below it, links and names are real."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from wsgiref.simple_server import demo_app
from wsgiref.util import setup_testing_defaults

import pytest
import redis
from sybil import Example
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from clawguard import DelegationRefused, InsufficientScope
from tests.schemas import schema
from tests.servers import NATS, drop_stream, nats_url, postgres_url, redis_url, unique

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
RELAYS = "docs/howto/relays.md"
POSTGRES = ("docs/howto/postgres.md", "docs/howto/moving.md")
SIMPLEJWT = "docs/howto/from-simplejwt.md"
OWN = {RELAYS, *POSTGRES, SIMPLEJWT}  # run by tests of their own
FOLDERS = (
    "guard",
    "store",
    "store/postgres",
    "events",
    "history",
    "sessions",
    "relays",
    "web",
    "agents",
    "server",
    "cli",
)

# How many requirements each section of a chapter of version 5.0.0 has.
ASVS = {7: (3, 4, 2, 5, 3, 2), 9: (3, 4), 10: (2, 3, 5, 16, 5, 2, 3)}

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d\d:\d\d:\d\d\.\d{6}")
# Refusals take numbers too, and when they are recorded is up to a thread.
NUMBER = re.compile(r"#\d+ +")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MACHINE_PATH = re.compile(rf"/({'|'.join(('work', 'home', 'root', 'tmp', 'Users', 'private', 'var'))})\b")
LEFT_OVER = re.compile(r"\b(TODO|FIXME|XXX)\b|\bissues? #?\d", re.IGNORECASE)


def masked(text: str) -> str:
    """Return an output with its times, ids and numbers taken out."""
    return NUMBER.sub("#N ", TIME.sub("TIME", ID.sub("ID", text)))


def assert_says(printed: str, expected: str) -> None:
    """Hold an output against what a page says, line by line in any order.

    A thread of its own prints the events, and `print` writes a line and its end apart: two may be glued.
    """
    left = masked(printed)
    for line in sorted(masked(expected).splitlines(), key=len, reverse=True):
        assert line in left, f"{line!r} is not in {masked(printed)!r}"
        left = left.replace(line, "", 1)
    assert not left.strip(), f"more than it says: {left!r}"


def run_page(page: Path, **namespace: object) -> Document:
    """Run a page's Python blocks in order; a text block after one is what it printed."""
    evaluate = PythonEvaluator()
    printed: str | None = None

    def run(example: Example) -> None:
        nonlocal printed
        with redirect_stdout(io.StringIO()) as out:
            evaluate(example)
        printed = out.getvalue()

    def compare(example: Example) -> None:
        nonlocal printed
        if printed is not None:
            assert_says(printed, str(example.parsed))
        printed = None

    parsers = (CodeBlockParser("python", run), CodeBlockParser("text", compare))
    document = Document.parse(str(page), *parsers)
    document.namespace.update(namespace)
    for example in document.examples():
        example.evaluate()
    return document


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def run_alone(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a newcomer does: in a folder of its own, with nothing set."""
    program = folder / "example.py"
    program.write_text(source, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLAWGUARD_")}
    command = [sys.executable, program.name]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=clean | path, capture_output=True, text=True, check=False, umask=0o022
    )


def listing(folder: Path) -> list[str]:
    """Return what `find FOLDER -printf '%M  %p\\n' | sort -k2` prints."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return [f"{stat.filemode(path.stat().st_mode)}  {path.relative_to(folder.parent)}" for path in paths]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, with nothing set."""
    for name in [name for name in os.environ if name.startswith("CLAWGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_opens_with_an_example_that_prints_what_it_says(tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    run = run_alone(blocks(readme, "python")[0], tmp_path)
    assert run.returncode == 0, run.stderr
    assert_says(run.stdout, blocks(readme, "text")[0])
    assert run.stderr == ""


def test_the_readme_lists_what_appears_on_disk(tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    assert run_alone(blocks(readme, "python")[0], tmp_path).returncode == 0
    _, *listed = blocks(readme, "console")[0].splitlines()
    assert listing(tmp_path / ".clawguard") == listed


def test_the_readme_guards_a_web_app(elsewhere: Path) -> None:
    document = run_page(ROOT / "README.md", app=demo_app)
    answers: list[str] = []
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)

    def start_response(status: str, headers: object, problem: object = None) -> None:
        answers.append(status)

    list(document.namespace["app"](environ, start_response))
    environ["HTTP_AUTHORIZATION"] = f"Bearer {document.namespace['helper'].token}"
    list(document.namespace["app"](environ, start_response))
    with document.namespace["SessionManager"].open() as manager:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {manager.create('reader', scopes='docs:read').token}"
        list(document.namespace["app"](environ, start_response))
    assert [answer[:3] for answer in answers] == ["401", "401", "200"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/") and name not in OWN])
def test_the_blocks_of_a_page_run(name: str, elsewhere: Path) -> None:
    run_page(ROOT / name)


def test_the_page_on_relays_runs_beside_the_brokers(elsewhere: Path) -> None:
    """The streams it makes get names of their own, and are removed."""
    name, url = unique("howto"), redis_url()
    assert nats_url()
    page = elsewhere / "relays.md"
    text = (ROOT / RELAYS).read_text(encoding="utf-8")
    page.write_text(text.replace('"howto', f'"{name}').replace("\nhowto.", f"\n{name}."), encoding="utf-8")
    try:
        run_page(page)
    finally:
        with redis.Redis.from_url(url) as client:
            client.delete(name)
        drop_stream(NATS, name)


@pytest.mark.parametrize("name", POSTGRES)
def test_a_page_on_postgresql_runs_beside_a_server(elsewhere: Path, name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    written = f"{postgres_url()}?schema=howto"
    assert text.count(written) == 1
    page = elsewhere / "postgres.md"
    with schema() as url:
        page.write_text(text.replace(written, url), encoding="utf-8")
        run_page(page)


def test_the_page_on_simplejwt_runs_as_one_program(tmp_path: Path) -> None:
    """Django takes its settings once in a process."""
    page = ROOT / SIMPLEJWT
    run = run_alone("\n".join(blocks(page, "python")), tmp_path)
    assert run.returncode == 0, run.stderr
    assert_says(run.stdout, "".join(blocks(page, "text")))


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_resolve(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_relative_to(ROOT), f"{name}: {target} leads out of the project"
        assert found.exists(), f"{name}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(found), f"{name}: {target} names no heading"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


@pytest.mark.parametrize("name", [*NAMES, "tests/test_docs.py"])
def test_no_trace_of_a_machine(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = MACHINE_PATH.search(text)
    assert found is None, f"{name}: {found}"
    left_over = None if name.endswith(".py") else LEFT_OVER.search(text)
    assert left_over is None, f"{name}: {left_over}"


@pytest.mark.parametrize("name", NAMES)
def test_files_and_tests_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for test in re.findall(r"`(test_\w+)`", text):
        assert f"def {test}(" in tests, f"{name}: there is no {test}"
    for path in re.findall(
        r"`((?:guard|store|events|history|sessions|relays|web|agents|server)/[\w/]+\.(?:py|sql))`", text
    ):
        assert (ROOT / "clawguard" / path).exists(), f"{name}: there is no {path}"
    for path in re.findall(r"\b(tests/[\w/]+(?:\.py)?)", text):
        assert (ROOT / path).exists(), f"{name}: there is no {path}"


def test_every_requirement_of_the_asvs_is_shown_by_a_test_or_does_not_apply() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("\n## OWASP ASVS 5.0\n")[2]
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) \| (.+) \| (.+) \| (.+) \|(.*) \|$", text, re.MULTILINE)
    sections = [(chapter, place, most) for chapter in ASVS for place, most in enumerate(ASVS[chapter], 1)]
    wanted = [f"{chapter}.{place}.{n}" for chapter, place, most in sections for n in range(1, most + 1)]
    assert [number for number, *_ in rows] == wanted
    assert {applies for _, _, applies, *_ in rows} == {"yes", "in part", "no"}
    for number, _, applies, _, tests in rows:
        assert bool(re.search(r"`test_\w+`", tests)) == (applies != "no"), f"{number}: {tests}"


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_all_their_cells(name: str) -> None:
    text = FENCED.sub("", (ROOT / name).read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, f"{name}: {table}"


def test_architecture_names_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\b\w+\.py\b", page))
    modules = {
        path.name
        for folder in (".", "events/formats", *FOLDERS)
        for path in (ROOT / "clawguard" / folder).glob("*.py")
    }
    assert modules - listed == set()


def test_architecture_names_nothing_that_is_gone() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "clawguard").rglob("*") if path.suffix in (".py", ".sql")]
    words = set(re.findall(r"\w+", "".join(path.read_text(encoding="utf-8") for path in files)))
    named = re.findall(r"`([A-Za-z_]\w*(?:\.\w+)*)`", FENCED.sub("", page))
    assert len(named) > 50
    gone = {name for name in named if not name.endswith(".py") and name.split(".")[-1] not in words}
    assert not gone


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = [page.name for page in sorted(folder.glob("0*.md"))]
    assert pages == re.findall(r"\((0\d{3}-[\w-]+\.md)\)", index)


PLANTED = {
    "an exception": ("print(missing)", "anything"),
    "other words": ("print('granted')", "refused"),
    "a line less": ("print('one')", "one\ntwo"),
    "no output": ("one = 1", "one"),
    "another event": (
        "print('06:34:00.094545  #1     session.expired        planner')",
        "07:00:00.000001  #9     session.created        planner",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    source, output = PLANTED[fault]
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{source}\n```\n\n```text\n{output}\n```\n", encoding="utf-8")
    with pytest.raises((AssertionError, NameError)):
        run_page(page)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('scopes="docs:read mail:send", ttl', 'scopes="docs:read", ttl'),
        ('reason="leaked"', 'reason="lost"'),
        ("\nsummarizer lacks mail:send\n", "\nsummarizer lacks docs:read\n"),
        ("session.expired        summarizer", "session.expired        planner   "),
    ],
)
def test_a_fault_planted_in_the_readme_is_found(old: str, new: str, elsewhere: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(old) == 1
    page = elsewhere / "README.md"
    page.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises((AssertionError, InsufficientScope, DelegationRefused)):
        run_page(page, app=demo_app)


def test_times_ids_and_numbers_may_differ(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    line = "{}  #{:<5} session.created        planner          {}"
    first = line.format("06:34:00.094545", 1, "01a1fccf-cf9e-7037-aefb-eac59a7e9560")
    second = line.format("07:00:00.000001", 12, "01a1fccf-d021-72be-9eed-2ab647482519")
    page.write_text(f"```python\nprint({first!r})\n```\n\n```text\n{second}\n```\n", encoding="utf-8")
    run_page(page)
