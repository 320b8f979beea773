"""Db2, on Amazon RDS for Db2 (11.5 and 12.1)."""

from rotation.engines.db2.session import Db2

__all__ = ["Db2"]
