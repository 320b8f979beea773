"""Do the ways to log in to an account of MariaDB keep their hashes to themselves?"""

from rotation.engines.mariadb.methods import Method


def test_a_hash_is_not_shown() -> None:
    method = Method("mysql_native_password", "*0123456789ABCDEF0123456789ABCDEF01234567")
    assert repr(method) == "Method(plugin='mysql_native_password')"
