"""Conversations from elsewhere: files of one message a line, taken in once and whole, and carried out."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from clawguard import InvalidArgument, SessionManager

META = {"agent": "crab", "created_by": "telegram:12345", "created_at": "2026-03-23T10:00:00+00:00"}
TALK = [
    {"role": "user", "content": "Where were we?"},
    {"role": "assistant", "content": "At the third lemma.", "reasoning_content": "the notes say so"},
]


def write(path: Path, *lines: dict[str, str]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


with TemporaryDirectory() as name, SessionManager.open(":memory:") as manager:
    folder, history = Path(name), manager.history
    with_meta = write(folder / "crab_1774260000_1.jsonl", META, *TALK)
    without = write(folder / "telegram_user123.jsonl", *TALK[:1])
    broken = write(folder / "broken.jsonl", *TALK, {"role": "narrator", "content": "Meanwhile"})

    for file in (with_meta, without, broken):
        session = manager.create("crab", scopes="talk", name=file.stem)
        try:
            done = history.import_jsonl(session, file)
        except InvalidArgument as fault:
            print(f"{file.name}: {fault}")
            manager.end(session)
            continue
        whose = done.header["created_by"] if done.header else "nobody said"
        print(f"{file.name}: {done.count} messages, by {whose}")
        print("  a second time:", "nothing to do" if history.import_jsonl(session, file).repeated else "?")

    for page in history.page().items:
        print(f"{page.name}: {page.message_count} messages, {'ended' if page.ended_at else 'live'}")

    found = history.search("lemma")[0]
    out = folder / "out.jsonl"
    history.export_jsonl(found.session_id, out)
    header, *messages = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    print(f"carried out for {header['agent']}: {[each['content'] for each in messages]}")
    print(f"what it did not know stays: {messages[1]['reasoning_content']}")
    print(f"mode {out.stat().st_mode & 0o777:o}")
