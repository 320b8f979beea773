"""Rotates credentials of Amazon RDS for MySQL and Aurora MySQL."""

from rotation.engines.mysql import MySQL
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(MySQL())
