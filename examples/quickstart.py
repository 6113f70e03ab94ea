"""Two agents, one of them with less; a revoke ends both."""

from clawguard import InsufficientScope, SessionEnded, SessionManager, current_session, requires


@requires("mail:send")  # a tool; the session is checked on every call
def send_mail(to: str) -> str:
    return f"sent to {to} by {current_session().agent_id}"


with SessionManager.open() as manager:  # makes .clawguard/ on first use; ":memory:" makes nothing
    manager.on("session.*", print)  # created, expired, ...: also in the hash-chained log
    planner = manager.create("planner", scopes="docs:read mail:send", ttl=900)
    helper = manager.delegate(planner, "summarizer", scopes="docs:read")  # never more than the planner has
    with manager.use(planner.token):
        print(send_mail("ana@example.com"))  # sent to ana@example.com by planner
    with manager.use(helper.token):
        try:
            send_mail("ana@example.com")
        except InsufficientScope as refusal:
            print(refusal)  # summarizer lacks mail:send
    manager.revoke(planner, reason="leaked")  # from this line on, in every process
    try:
        manager.validate(helper.token)
    except SessionEnded as refusal:
        print(refusal)  # session ended: parent
