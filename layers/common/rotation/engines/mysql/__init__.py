"""MySQL, Amazon RDS for MySQL, and Aurora MySQL (8.0.22 and later; single users from 5.7 on)."""

from rotation.engines.mysql import rsa  # noqa: F401 - before PyMySQL is imported
from rotation.engines.mysql.session import MySQL

__all__ = ["MySQL"]
