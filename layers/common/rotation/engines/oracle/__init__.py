"""Oracle Database, Amazon RDS for Oracle, and RDS Custom for Oracle (12.1 and later, by the client in thin mode)."""

from rotation.engines.oracle.session import Oracle

__all__ = ["Oracle"]
