"""PostgreSQL: the same store on a server, for many machines. Only this folder imports psycopg."""

from clawguard.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
