"""What does a server learn that is not the one it claims to be? And a server that asks for more than it needs?

Each test lets an impostor talk, or has a real server show a wrong certificate, and looks at all that was said to it.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.engines import network
from rotation.engines.driver import CERTIFICATE
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.postgresql import PostgreSQL
from rotation.errors import RotationError, Unreachable, Untrusted
from tests.contract import impostor
from tests.contract.impostor import CLEAR, OK, SASL, SASL_CONTINUE, Impostor, Line, Talk, authentication, posing
from tests.laboratories import Logins, deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.servers import certificates
from tests.local.servers.certificates import HOST_NAME, Certificates
from tests.local.servers.processes import LOOPBACK

PASSWORD = "impostors-never-read-this-one"
ASKED_IN_CLEAR = "wanted the password in clear|asks for the password in clear"
BOTH = pytest.mark.parametrize("engine", [PostgreSQL(), MySQL()], ids=["postgresql", "mysql"])
FAMILY = pytest.mark.parametrize("engine", [MySQL(), MariaDB()], ids=["mysql", "mariadb"])

KINDS: dict[str, Callable[[Path], Certificates]] = {
    "expired": partial(certificates.issue, ends=timedelta(days=-1)),
    "of another host": partial(certificates.issue, host="db.example"),
    "of another authority": certificates.issue,
}
"""Certificates that prove nothing. The last one is good but for its authority, which is trusted in the control only."""


def try_to_log_in(
    engine: Engine, talk: Talk, *, tls: bool = True, host: str = HOST_NAME
) -> tuple[RotationError, Impostor]:
    """Log in to an impostor; return what came of it, and what the impostor heard."""
    with posing(talk) as heard:
        credential = Credential(
            engine=min(engine.kind.engine_values),
            host=host,
            port=heard.port,
            database="shop",
            username="app",
            password=PASSWORD,
            tls=tls,
        )
        with pytest.raises(RotationError) as raised, engine.connect(credential, deadline(6.0)):
            pass
    assert PASSWORD not in str(raised.value)
    return raised.value, heard


def require_untrusted(error: RotationError) -> None:
    """Require the right class, and something to do about it."""
    assert isinstance(error, Untrusted), error
    assert error.remedy


# Certificates


@pytest.fixture
def bad(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """A certificate that proves nothing, though the authority of each but the last is trusted."""
    issued = KINDS[request.param](tmp_path)
    if request.param != "of another authority":
        monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
    return issued


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """A certificate that is trusted, and of the right host."""
    issued = certificates.issue(tmp_path)
    monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
    return issued


def postgresql_with_tls(shown: Certificates) -> Talk:
    """Talk as PostgreSQL does, inside of TLS, and ask for the password in clear."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(impostor.TLS)
        line.show(shown)
        line.hear()
        line.say(authentication(CLEAR))

    return talk


def mysql_with_tls(shown: Certificates, plugin: str) -> Talk:
    """Talk as MySQL does, inside of TLS, and ask for another plugin."""

    def talk(line: Line) -> None:
        line.say(impostor.greeting(tls=True))
        line.hear(impostor.TLS_REQUEST)
        line.show(shown)
        line.hear()
        line.say(impostor.switch(3, plugin, b""))

    return talk


@pytest.mark.parametrize("bad", KINDS, indirect=True)
def test_a_server_with_a_wrong_certificate_learns_nothing_from_postgresql(bad: Certificates) -> None:
    error, heard = try_to_log_in(PostgreSQL(), postgresql_with_tls(bad))
    require_untrusted(error)
    assert heard.heard == impostor.SSL_REQUEST


@FAMILY
@pytest.mark.parametrize("bad", KINDS, indirect=True)
def test_a_server_with_a_wrong_certificate_learns_nothing_from_mysql_and_mariadb(
    engine: Engine, bad: Certificates
) -> None:
    error, heard = try_to_log_in(engine, mysql_with_tls(bad, "mysql_native_password"))
    require_untrusted(error)
    assert len(heard.heard) == impostor.TLS_REQUEST
    assert b"app" not in heard.heard


def talk_of(engine: Engine, shown: Certificates) -> Talk:
    """Talk as a server of this engine does, inside of TLS."""
    if isinstance(engine, PostgreSQL):
        return postgresql_with_tls(shown)
    return mysql_with_tls(shown, "mysql_native_password")


OF_RDS = "db.abcdefghijkl.eu-west-1.rds.amazonaws.com"


@pytest.fixture
def at_rds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """The certificate of a host of RDS, here on this machine; its authority is in the bundle, but in no Region's."""
    issued = certificates.issue(tmp_path, host=OF_RDS)
    (tmp_path / "regions").mkdir()
    certificates.issue(tmp_path / "regions").ca.rename(tmp_path / "regions/eu-west-1.pem")
    (tmp_path / "rds-global-bundle.pem").write_bytes(issued.ca.read_bytes())
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **options: resolve(LOOPBACK, *rest, **options))
    monkeypatch.setattr(network, "CERTS", tmp_path)
    monkeypatch.delenv("DB_CA_BUNDLE", raising=False)
    return issued


@BOTH
def test_an_authority_of_another_region_proves_nothing_and_is_reported_as_any_other(
    engine: Engine, at_rds: Certificates
) -> None:
    error, heard = try_to_log_in(engine, talk_of(engine, at_rds), host=OF_RDS)
    require_untrusted(error)
    assert error.remedy == CERTIFICATE
    assert len(heard.heard) <= impostor.TLS_REQUEST


@BOTH
def test_an_authority_of_its_region_proves_a_host_of_rds(engine: Engine, at_rds: Certificates, tmp_path: Path) -> None:
    at_rds.ca.rename(tmp_path / "regions/eu-west-1.pem")
    error, heard = try_to_log_in(engine, talk_of(engine, at_rds), host=OF_RDS)
    assert error.remedy != CERTIFICATE
    assert b"app" in heard.heard


class RealServers:
    """A subclass says which."""

    ends = timedelta(days=-1)
    """When the certificate ends, from the moment that the server begins to show it."""

    def test_an_expired_certificate_is_not_trusted(
        self, laboratory: PostgreSQLLaboratory | MySQLLaboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expired = certificates.issue(tmp_path, ends=self.ends)
        end = x509.load_pem_x509_certificate(expired.certificate.read_bytes()).not_valid_after_utc
        with showing(laboratory, expired):
            while datetime.now(UTC) <= end + timedelta(seconds=1):  # it lasts until that second is over
                shown_by(laboratory)
            logged = laboratory.logins()
            monkeypatch.setenv("DB_CA_BUNDLE", str(expired.ca))
            with (
                pytest.raises(Untrusted, match=r"expired|certificate verify failed") as raised,
                laboratory.engine.connect(laboratory.admin, deadline()),
            ):
                pass
            assert "expired" in str(raised.value), "or else in the remedy"
            if (now := laboratory.logins()) and logged:
                assert now - logged == Logins(0, 0)
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        assert laboratory.logs_in(laboratory.admin)


@pytest.mark.engine("postgresql")
class TestPostgreSQL(RealServers):
    """PostgreSQL."""


@pytest.mark.engine("mysql")
class TestMySQL(RealServers):
    """MySQL, which does not begin to show a certificate that has ended, but goes on to show one that ends."""

    ends = timedelta(seconds=2)


@pytest.mark.engine("mariadb")
class TestMariaDB(RealServers):
    """MariaDB."""


RELOAD = {
    "PostgreSQL": "SELECT pg_reload_conf()",
    "MySQL": "ALTER INSTANCE RELOAD TLS",
    "MariaDB": "FLUSH SSL",
}


@contextmanager
def showing(laboratory: PostgreSQLLaboratory | MySQLLaboratory, other: Certificates) -> Iterator[None]:
    """Let a running server of ours show another certificate, for a while."""
    ca_bundle = laboratory.ca_bundle
    certificate, key = (ca_bundle.with_name(name) for name in ("server.crt", "server.key"))
    files = {certificate: other.certificate, key: other.key, ca_bundle: other.ca}
    if not all(path.exists() for path in files):
        pytest.skip("the certificate of a server that is not ours stays as it is")
    before = {path: path.read_bytes() for path in files}
    with laboratory.session() as run:

        def show(contents: dict[Path, bytes]) -> None:
            for path, content in contents.items():
                path.write_bytes(content)  # its owner and mode stay
            run(RELOAD[laboratory.engine.kind.name])
            wanted = ssl.PEM_cert_to_DER_cert(certificate.read_text())
            until = monotonic() + 10
            while shown_by(laboratory) != wanted:  # PostgreSQL reloads in its own time
                assert monotonic() < until

        try:
            show({path: source.read_bytes() for path, source in files.items()})
            yield
        finally:
            show(before)


def shown_by(laboratory: PostgreSQLLaboratory | MySQLLaboratory) -> bytes | None:
    """Return the certificate that a server shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((LOOPBACK, laboratory.admin.port), 10) as connection:
        if isinstance(laboratory, PostgreSQLLaboratory):
            connection.sendall(impostor.SSL_REQUEST)
            connection.recv(1)
        else:
            connection.recv(65536)
            connection.sendall(impostor.tls_request())
        with context.wrap_socket(connection) as tls:
            return tls.getpeercert(binary_form=True)


# No TLS, although there should be


def test_a_postgresql_without_tls_learns_nothing_not_even_who_wants_in() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(impostor.NO_TLS)

    error, heard = try_to_log_in(PostgreSQL(), talk)
    require_untrusted(error)
    assert '"ssl": false' in error.remedy
    assert heard.heard == impostor.SSL_REQUEST


def test_who_refuses_a_postgresql_login_before_tls_has_refused_no_password() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(impostor.wrong_password("app"))

    error, heard = try_to_log_in(PostgreSQL(), talk)
    assert isinstance(error, Unreachable), error
    assert heard.heard.startswith(impostor.SSL_REQUEST)  # and then the questions of `other_engine`
    assert b"app" not in heard.heard


@FAMILY
@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "without"])
def test_a_mysql_that_refuses_before_the_login_refused_no_password(engine: Engine, *, tls: bool) -> None:
    """If it were one, other passwords would be tried: an attacker in the middle could collect one after another."""
    error, heard = try_to_log_in(engine, lambda line: line.say(impostor.access_denied(0)), tls=tls)
    require_untrusted(error)
    assert heard.heard == b""


# A server that asks for the password itself


def test_a_postgresql_that_asks_for_the_password_in_clear_does_not_get_it_even_inside_of_tls(
    good: Certificates,
) -> None:
    error, heard = try_to_log_in(PostgreSQL(), postgresql_with_tls(good))
    require_untrusted(error)
    assert "clear" in str(error)
    assert b"app" in heard.heard, "it was trusted until it asked"
    assert PASSWORD.encode() not in heard.heard


def test_a_postgresql_that_asks_for_the_password_in_clear_does_not_get_it_without_tls() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(authentication(CLEAR))

    error, heard = try_to_log_in(PostgreSQL(), talk, tls=False)
    require_untrusted(error)
    assert PASSWORD.encode() not in heard.heard


def test_a_postgresql_that_does_not_know_the_password_either_cannot_say_that_it_was_right() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(authentication(SASL, impostor.SCRAM))
        nonce = line.hear().partition(b"r=")[2]
        line.say(authentication(SASL_CONTINUE, b"r=" + nonce + b"more,s=c2FsdA==,i=4096"))
        line.hear()
        line.say(authentication(OK))

    error, heard = try_to_log_in(PostgreSQL(), talk, tls=False)
    require_untrusted(error)
    assert "did not complete authentication" in str(error)
    assert PASSWORD.encode() not in heard.heard


REVEALING = {"mysql_clear_password": b"", "dialog": b"\x04Password: ", "mysql_old_password": b"saltsalt\0"}


@FAMILY
@pytest.mark.parametrize("plugin", REVEALING)
def test_a_mysql_that_asks_for_the_password_in_clear_does_not_get_it_even_inside_of_tls(
    engine: Engine, plugin: str, good: Certificates
) -> None:
    error, heard = try_to_log_in(engine, mysql_with_tls(good, plugin))
    require_untrusted(error)
    assert b"app" in heard.heard, "it was trusted until it asked"
    assert PASSWORD.encode() not in heard.heard


@FAMILY
@pytest.mark.parametrize("plugin", REVEALING)
def test_a_mysql_that_asks_for_the_password_in_clear_does_not_get_it_without_tls(engine: Engine, plugin: str) -> None:
    def talk(line: Line) -> None:
        line.say(impostor.greeting())
        line.hear()
        line.say(impostor.switch(2, plugin, REVEALING[plugin]))

    error, heard = try_to_log_in(engine, talk, tls=False)
    require_untrusted(error)
    assert "in clear" in str(error)
    after_switch = heard.heard.partition(b"caching_sha2_password\0")[2]
    assert after_switch == b"", "neither the password nor a hash of it"


@FAMILY
@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_without_tls_a_mysql_with_a_key_of_its_own_learns_the_password(engine: Engine, plugin: str) -> None:
    """The server's own key comes over the same wire, and nothing vouches for it.

    MySQL itself asks for full authentication after each new password, so this cannot be refused where TLS is off. See
    docs/threat-model.md.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    answers: list[bytes] = []

    def talk(line: Line) -> None:
        line.say(impostor.greeting(plugin))
        line.hear()
        if plugin == "caching_sha2_password":
            line.say(impostor.packet(2, b"\x01\x04"))  # it wants the whole password
            line.hear()
        line.say(impostor.packet(4 if plugin == "caching_sha2_password" else 2, b"\x01" + public))
        answers.append(line.hear()[4:])
        raise ConnectionError

    error, heard = try_to_log_in(engine, talk, tls=False)
    assert isinstance(error, Unreachable)
    assert PASSWORD.encode() not in heard.heard, "who only listens learns nothing"
    [answer] = answers
    mixed = key.decrypt(answer, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))  # noqa: S303 - theirs
    salt = (impostor.SALT * 2)[: len(mixed)]
    assert bytes(one ^ other for one, other in zip(mixed, salt, strict=True)) == PASSWORD.encode() + b"\0"


@FAMILY
def test_with_tls_no_mysql_is_asked_for_a_key_of_its_own(engine: Engine, good: Certificates) -> None:
    """Inside of verified TLS the whole password is for the proven server alone."""

    def talk(line: Line) -> None:
        line.say(impostor.greeting(tls=True))
        line.hear(impostor.TLS_REQUEST)
        line.show(good)
        line.hear()
        line.say(impostor.packet(3, b"\x01\x04"))
        line.hear()
        raise ConnectionError

    error, heard = try_to_log_in(engine, talk)
    assert isinstance(error, Unreachable)
    assert heard.heard.endswith(PASSWORD.encode() + b"\0"), "the proof that these tests see what is sent"
