"""MariaDB, and Amazon RDS for MariaDB (10.4 and later)."""

from rotation.engines.mariadb.session import MariaDB

__all__ = ["MariaDB"]
