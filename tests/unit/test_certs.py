"""Are the certificate authorities that are shipped those that their page says?"""

import hashlib
import os
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rotation.engines.network import ca_bundle, new_tls_context, tls_context

CERTS = Path(__file__).parents[2] / "layers/common/rotation/certs"
PUBLIC = CERTS / "amazon-public-roots.pem"
LONG = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
FINGERPRINTS = {
    "Amazon Root CA 1": "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "Amazon Root CA 2": "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "Amazon Root CA 3": "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "Amazon Root CA 4": "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "Starfield Services Root Certificate Authority - G2": (
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5"
    ),
}
"""SHA-256 of each, as Amazon Trust Services publishes them (https://www.amazontrust.com/repository/)."""


def test_amazons_public_roots_are_the_five_that_amazon_publishes() -> None:
    found = re.findall(r"-----BEGIN.*?END CERTIFICATE-----", PUBLIC.read_text(), re.DOTALL)
    digests = [hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest() for text in found]
    assert digests == list(FINGERPRINTS.values())
    assert all(name in (CERTS / "README.md").read_text().replace("1 to 4", "1") for name in list(FINGERPRINTS)[::4])


@pytest.mark.parametrize("name", ["amazon-public-roots.pem", "rds-global-bundle.pem"])
def test_an_operator_can_name_each_bundle_and_no_authority_in_it_has_expired(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(CERTS / name))
    found = tls_context().get_ca_certs()
    assert len(found) == (CERTS / name).read_text().count("BEGIN CERTIFICATE")
    assert min(ssl.cert_time_to_seconds(str(each["notAfter"])) for each in found) > LONG


def test_connections_share_what_was_read_of_the_authorities_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(ca_bundle()).read_bytes())
    monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
    first = tls_context()
    assert tls_context() is first
    assert new_tls_context() is not first
    os.utime(bundle, (1, 1))
    assert tls_context() is not first


def test_another_bundle_of_the_same_date_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive can give all its files one date, and a link can be turned from one to the other."""
    link = tmp_path / "bundle.pem"
    monkeypatch.setenv("DB_CA_BUNDLE", str(link))
    for name in ("rds-global-bundle.pem", "amazon-public-roots.pem"):
        (tmp_path / name).write_bytes((CERTS / name).read_bytes())
        os.utime(tmp_path / name, (1, 1))
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert len(tls_context().get_ca_certs()) == (CERTS / name).read_text().count("BEGIN CERTIFICATE")
