"""SQL Server, Amazon RDS for SQL Server, and RDS Custom for SQL Server (versions 2016 to 2025)."""

from rotation.engines.sqlserver.session import SQLServer

__all__ = ["SQLServer"]
