"""For which causes does a rotation fail? A module for each engine, and one for what is about none of them."""

from tests import servers
from tests.contract.causes import mysql, oracle, postgresql, secret, sqlserver

CAUSES = [*secret.CAUSES, *postgresql.CAUSES, *mysql.CAUSES, *oracle.CAUSES, *sqlserver.CAUSES]

if "db2" in servers.SERVERS:  # IBM's client is for x86_64 only
    from tests.contract.causes import db2

    CAUSES += db2.CAUSES
