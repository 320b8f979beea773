"""What do the contract tests of MySQL and of MariaDB do alike, besides `tests.contract.pairs`?"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus, KeepsOldPassword
from tests.contract.pairs import proof_of
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted


@pytest.mark.engine("mysql")
class OnMySQL:
    """Its tests have each MySQL server as their laboratory."""

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        """Return the server."""
        return mysql


@pytest.mark.engine("mariadb")
class OnMariaDB:
    """Its tests have each MariaDB server as their laboratory."""

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        """Return the server."""
        return mariadb


def account(user: Credential | str, host: str = "%") -> str:
    name = user if isinstance(user, str) else user.username
    return f"{quoted(name)}@{quoted(host)}"


def alter(laboratory: MySQLLaboratory, *statements: str) -> None:
    """Run statements as the superuser."""
    with laboratory.session() as run:
        for statement in statements:
            run(statement)


def asked(laboratory: MySQLLaboratory, statement: str, *arguments: str) -> list[tuple[object, ...]]:
    with laboratory.session() as run:
        return run(statement, *arguments)


def require_two(laboratory: MySQLLaboratory, user: Credential) -> None:
    """Require that the server lets a user have two passwords."""
    with laboratory.engine.connect(user, deadline()) as session:
        assert isinstance(session, KeepsOldPassword)
        session.require_two_passwords()


def add(laboratory: MySQLLaboratory, who: Credential, current: Credential, new: Credential) -> None:
    """Add a password, as the user itself or an admin."""
    with laboratory.engine.connect(who, deadline()) as session:
        assert isinstance(session, KeepsOldPassword)
        session.add_password(current.username, current.password, new.password)


def rotate(laboratory: MySQLLaboratory, current: Credential, pending: Credential) -> list[str]:
    """Do what setSecret does for a pair, whose clone is ours or absent; return the differences."""
    known = proof_of(laboratory, current)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.require_proven(known)
        assert session.clone_status(current.username, pending.username) is not CloneStatus.UNKNOWN
        session.mirror(current.username, pending.username)
        differences = list(session.compare(current.username, pending.username).sentences)
        session.set_password(pending.username, pending.password)
    return differences


def shown(laboratory: MySQLLaboratory, user: Credential, host: str = "%") -> list[str]:
    """Return all that the server says of an account, from its tables."""
    with laboratory.session() as run:
        run("FLUSH PRIVILEGES")
        name = account(user, host)
        definition = [str(row[0]) for row in run(f"SHOW CREATE USER {name}")]
        return [*definition, *sorted(str(row[0]) for row in run(f"SHOW GRANTS FOR {name}"))]


def hosts(laboratory: MySQLLaboratory, user: Credential) -> list[str]:
    """Return the hosts of all accounts of a name."""
    query = "SELECT host FROM mysql.user WHERE user = %s ORDER BY host"
    return [str(host) for (host,) in asked(laboratory, query, user.username)]


@contextmanager
def setting(laboratory: MySQLLaboratory, name: str, value: str) -> Iterator[None]:
    """Change a global setting of the server for a while."""
    [(before,)] = asked(laboratory, f"SELECT @@GLOBAL.{name}")
    alter(laboratory, f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        alter(laboratory, f"SET GLOBAL {name} = {quoted(str(before)) if isinstance(before, str) else before}")


@contextmanager
def reuse_check(mariadb: MySQLLaboratory) -> Iterator[None]:
    """Let the server refuse every password that a user has had."""
    alter(mariadb, "INSTALL SONAME 'password_reuse_check'")
    try:
        yield
    finally:
        alter(mariadb, "UNINSTALL SONAME 'password_reuse_check'")


type Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Take one connection at a port, and talk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            connection, _ = listener.accept()
            with closing(connection), suppress(ssl.SSLError, OSError):
                serve(connection)

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            thread.join()
