"""Are the certificate authorities that are shipped those that their page says?"""

import hashlib
import os
import re
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rotation.engines import network
from rotation.engines.network import ca_bundle, new_tls_context, tls_context
from supply import authorities

CERTS = Path(__file__).parents[2] / "layers/common/rotation/certs"
BUNDLE = CERTS / "rds-global-bundle.pem"
PUBLIC = CERTS / "amazon-public-roots.pem"
HOST = "db.abcdefghijkl.eu-west-1.rds.amazonaws.com"
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
    found = tls_context(HOST).get_ca_certs()
    assert len(found) == (CERTS / name).read_text().count("BEGIN CERTIFICATE")
    assert min(ssl.cert_time_to_seconds(str(each["notAfter"])) for each in found) > LONG


def test_connections_share_what_was_read_of_the_authorities_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(ca_bundle(HOST)).read_bytes())
    monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
    first = tls_context(HOST)
    assert tls_context(HOST) is first
    assert new_tls_context(HOST) is not first
    os.utime(bundle, (1, 1))
    assert tls_context(HOST) is not first


def test_another_bundle_of_the_same_date_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive can give all its files one date, and a link can be turned from one to the other."""
    link = tmp_path / "bundle.pem"
    monkeypatch.setenv("DB_CA_BUNDLE", str(link))
    for name in ("rds-global-bundle.pem", "amazon-public-roots.pem"):
        (tmp_path / name).write_bytes((CERTS / name).read_bytes())
        os.utime(tmp_path / name, (1, 1))
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert len(tls_context(HOST).get_ca_certs()) == (CERTS / name).read_text().count("BEGIN CERTIFICATE")


OTHER_HOSTS = (
    "db.example.com",
    "localhost",
    "10.0.0.1",
    "2001:db8::1",
    "",
    "orders.global-abcdefghijkl.global.rds.amazonaws.com",
    "db.abcdefghijkl.us-gov-west-1.rds.amazonaws.com",  # a Region without authorities in the bundle
    "db.abcdefghijkl.xx-nowhere-1.rds.amazonaws.com",
    "db.abcdefghijkl.rds.cn-north-1.amazonaws.com.cn",
    "db.abcdefghijkl.eu-west-1.rds.amazonaws.com.cn",
    "eu-west-1.rds.amazonaws.com",
    ".eu-west-1.rds.amazonaws.com",
    "db..eu-west-1.rds.amazonaws.com",
    "db.eu-west-1.rds..amazonaws.com",
    "db.eu-west-1.rds.amazonaws.com.",
    "db.eu-west-1.rds.amazonaws.com\n",
    "DB.EU-WEST-1.RDS.AMAZONAWS.COM",
    "db.eu-west-1.rds.amazonaws.com.evil.example",
    "db.eu-west-1.rds.amazonaws.com@evil.example",
    "db.eu-west-1.rds.amazonaws.com\0.evil.example",
    "evil.example/db.eu-west-1.rds.amazonaws.com",
    "db.eu-west-1.rdsXamazonaws.com",
    "db.eu-west-1-rds.amazonaws.com",
    "db.eu-west-1.rds-preview.amazonaws.com",
    "db.eu-west-1.evil.rds.amazonaws.com",
    "db.../../eu-west-1.rds.amazonaws.com",
    "db.../eu-west-1.rds.amazonaws.com",
    "db./eu-west-1.rds.amazonaws.com",
    "db.eu-west-1/.rds.amazonaws.com",
    "db.eu-west-1%2f.rds.amazonaws.com",
    "db.None.rds.amazonaws.com",
    "db.eu-west-\u0661.rds.amazonaws.com",
    "db.\u0435u-west-1.rds.amazonaws.com",
    "db.xn--u-west-1-ckj.rds.amazonaws.com",
    "d\u00e4tabase.eu-west-1.rds.amazonaws.com",
)
"""Hosts that name no Region of the bundle, and some that only seem to: who can write a secret chooses its host."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the authorities, as the build makes it."""
    folder = tmp_path_factory.mktemp("certs")
    (folder / BUNDLE.name).write_bytes(BUNDLE.read_bytes())
    authorities.split(folder)
    return folder


def subjects(bundle: Path) -> dict[str, str]:
    """Return the name of each authority in a file, by its text."""
    found = re.findall(r"-----BEGIN.*?END CERTIFICATE-----\n", bundle.read_text(), re.DOTALL)
    assert "".join(found) == bundle.read_text()
    return {text: name(text) for text in found}


def name(certificate: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    [found] = context.get_ca_certs()
    return str(dict(*zip(*found["subject"], strict=True))["commonName"])


def test_the_files_of_the_regions_are_the_bundle_and_nothing_else(built: Path) -> None:
    whole = subjects(BUNDLE)
    files = {file.stem: subjects(file) for file in (built / "regions").iterdir()}
    assert {text: name for found in files.values() for text, name in found.items()} == whole
    assert sum(map(len, files.values())) == len(whole) == len(set(whole.values()))
    for region, found in files.items():
        assert all(f" {region} " in name for name in found.values())
        kinds = sorted(name.split()[-2] for name in found.values() if name.startswith(f"Amazon RDS {region} Root CA "))
        assert kinds == ["ECC384", "RSA2048", "RSA4096"]


def test_an_authority_that_names_no_region_belongs_to_each_of_them(tmp_path: Path) -> None:
    (tmp_path / BUNDLE.name).write_text(PUBLIC.read_text() + BUNDLE.read_text())
    authorities.split(tmp_path)
    for file in (tmp_path / "regions").iterdir():
        assert PUBLIC.read_text() in file.read_text()


def test_an_authority_that_is_named_as_a_region_is_belongs_to_each_of_them_too(tmp_path: Path) -> None:
    """Only RDS names a Region so: an operator's own authority in the bundle can be called anything."""
    own = named("acme-root-ca-1")
    (tmp_path / BUNDLE.name).write_text(own + BUNDLE.read_text())
    authorities.split(tmp_path)
    files = {file.stem: file.read_text() for file in (tmp_path / "regions").iterdir()}
    assert files
    assert all(text.startswith(own) for text in files.values())
    assert "acme-root-ca-1" not in files


def named(common_name: str) -> str:
    """Return a certificate of an authority of this name."""
    name, key = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        ec.generate_private_key(ec.SECP256R1()),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
        key, hashes.SHA256()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_host_of_rds_is_verified_with_the_authorities_of_its_region(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CERTS", built)
    for host in (HOST, "orders.cluster-ro-abcdefghijkl.eu-west-1.rds.amazonaws.com"):
        assert Path(ca_bundle(host)) == built / "regions/eu-west-1.pem"
        assert len(tls_context(host).get_ca_certs()) == len(new_tls_context(host).get_ca_certs()) == 3
    assert len(tls_context("db.abcdefghijkl.us-west-2.rds.amazonaws.com").get_ca_certs()) == 3


def test_a_file_that_an_operator_names_is_for_every_host(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CERTS", built)
    monkeypatch.setenv("DB_CA_BUNDLE", str(PUBLIC))
    assert ca_bundle(HOST) == str(PUBLIC)


@pytest.fixture(scope="module")
def planted(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder, with files that a host could name if its Region were taken as it is."""
    folder = shutil.copytree(built, tmp_path_factory.mktemp("planted") / "certs")
    for name in ("evil", "regions/None", "regions/", "regions/global", "regions/evil"):
        (folder / f"{name}.pem").write_bytes(PUBLIC.read_bytes())
    return folder


@pytest.mark.parametrize("host", OTHER_HOSTS, ids=ascii)
def test_every_other_host_is_verified_with_the_bundle_whatever_files_there_are(
    host: str, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CERTS", planted)
    assert Path(ca_bundle(host)) == planted / BUNDLE.name


@pytest.mark.parametrize("path", ["../evil", "{}/evil", "evil", "../regions/eu-west-1", "{}/regions/eu-west-1"])
def test_no_host_names_a_path(path: str, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CERTS", planted)
    host = f"db.{path.format(planted)}.rds.amazonaws.com"
    assert (planted / "regions" / f"{path.format(planted)}.pem").is_file()
    assert Path(ca_bundle(host)) == planted / BUNDLE.name


def test_without_a_build_all_hosts_are_verified_with_the_bundle() -> None:
    assert Path(ca_bundle(HOST)) == BUNDLE
