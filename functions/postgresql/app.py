"""Rotates credentials of Amazon RDS for PostgreSQL and Aurora PostgreSQL."""

from rotation.engines.postgresql import PostgreSQL
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(PostgreSQL())
