"""Rotates credentials of Amazon RDS for MariaDB."""

from rotation.engines.mariadb import MariaDB
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(MariaDB())
