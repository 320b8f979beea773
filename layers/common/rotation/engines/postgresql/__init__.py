"""PostgreSQL, Amazon RDS for PostgreSQL, and Aurora PostgreSQL (versions 13 to 18)."""

from rotation.engines.postgresql.session import PostgreSQL

__all__ = ["PostgreSQL"]
