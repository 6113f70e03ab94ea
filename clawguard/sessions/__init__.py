"""The heart: a session's life, from create to its one end.

manager.py    the verbs; issuing.py, ending.py do the writing ones
verifier.py   validate, use, inspect with public keys only; standing.py decides, cache.py remembers
directory.py  reading; activity.py  what a live session is doing; current.py  the session bound here
parts.py      what an open manager or verifier is made of; change.py  one use case's transaction
history.py    conversations: which session, which transaction, which event
keychain.py   the key ring in the store; recorder.py, sweeper.py  what happens between calls
aio.py        the same names, awaited
"""
