"""Relays: receivers that carry the log out. Each module is the opt-in for the library it needs."""
