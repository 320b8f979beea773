"""Rotates credentials of Amazon RDS for Oracle and RDS Custom for Oracle."""

from rotation.engines.oracle import Oracle
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(Oracle())
