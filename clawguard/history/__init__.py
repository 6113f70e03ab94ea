"""Conversations: what was said in a session, how it is kept, found, carried in and out.

It knows the store. Which session may be written to, and what is told of it, is for
`clawguard.sessions.history` to decide.
"""
