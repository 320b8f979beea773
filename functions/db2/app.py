"""Rotates credentials of Amazon RDS for Db2."""

from rotation.engines.db2 import Db2
from rotation.lambda_handler import rotation_handler

handler = rotation_handler(Db2())
