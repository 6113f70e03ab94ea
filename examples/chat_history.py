"""A chat that goes on: streamed answers, a search, an end, and a session that takes the talk up again."""

from clawguard import Session, SessionEnded, SessionManager
from clawguard.history.messages import Message


def answer(manager: SessionManager, session: Session, words: list[str]) -> None:
    """Write an answer down as it comes in, so that a crash loses no more than its end."""
    manager.history.append(session, Message(role="assistant", content=""))
    said = ""
    for word in words:
        said = f"{said} {word}".strip()
        manager.history.update_last(session, Message(role="assistant", content=said))


def show(manager: SessionManager, session: Session) -> None:
    for entry in manager.history.tail(session, 10):
        print(f"{entry.seq} {entry.role}: {entry.text}")


with SessionManager.open(":memory:") as manager:
    history = manager.history
    chat = manager.create("concierge", scopes="rooms:book", key="telegram_user123", channel_id="hotel")
    history.append(chat, {"role": "user", "content": "A quiet room in 京都, please."})
    call = {"function": {"name": "find_rooms", "arguments": '{"city": "京都", "card": "4111 1111"}'}}
    history.append(chat, {"role": "assistant", "content": None, "tool_calls": [call]})
    history.append(chat, {"role": "tool", "content": "Garden room, 120", "tool_call_id": "c1"})
    answer(manager, chat, ["The", "garden", "room", "is", "free."])
    show(manager, chat)

    print([hit.snippet for hit in history.search("京都 gard*", channel_id="hotel")])
    print("what tools were given is not found:", history.search("4111"))

    manager.end(chat)  # the day is over; what was said stays readable
    try:
        history.append(chat, {"role": "user", "content": "One more thing"})
    except SessionEnded as refusal:
        print(refusal)

    again = manager.create("concierge", scopes="rooms:book", key="telegram_user123")
    history.fork(chat, again)
    history.append(again, {"role": "user", "content": "I take the garden room."})
    print(f"{history.count(again)} entries, forked from the first: {again.id != chat.id}")
    print(history.wrap_up(again).to_markdown().split("- ")[3].strip())

    history.delete(again)  # the guest asks for it: the session ends, and nothing brings it back
    for event in manager.events.read(types=["session.expired", "history.*"]):
        print(event.type, event.cause or event.data)
