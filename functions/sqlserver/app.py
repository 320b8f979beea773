"""Rotates credentials of Amazon RDS for SQL Server."""

from rotation.engines.sqlserver import SQLServer
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(SQLServer())
