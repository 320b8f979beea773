"""Which authorities does a host of one Region need?

A client reads its whole file of authorities for each login, and RDS has three of them in each Region. So the build puts
a file for each Region beside the bundle. It is made anew each time: who puts a newer bundle in its place has nothing
else to do.
"""

import re
import ssl
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_REGION = re.compile(r"\bAmazon RDS (?:[A-Z]\w* )?([a-z]+(?:-[a-z]+)+-\d+)\b")
"""A Region in a name such as "Amazon RDS eu-west-1 Root CA RSA2048 G1". Others can call an authority acme-root-ca-1."""


def split(certs: Path) -> None:
    """Write regions/REGION.pem for each Region that an authority of the bundle in this folder names.

    An authority that names no Region belongs to all of them.
    """
    found = _CERTIFICATE.findall((certs / "rds-global-bundle.pem").read_text())
    named = [(text, _regions(text)) for text in found]
    (certs / "regions").mkdir()
    for region in set().union(*(regions for _, regions in named)):
        own = (text for text, regions in named if not regions or region in regions)
        (certs / "regions" / f"{region}.pem").write_text("".join(own))


def _regions(text: str) -> set[str]:
    """Return the Regions that the subject of a certificate names, as those of RDS do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text)
    return set(_REGION.findall(str([one["subject"] for one in context.get_ca_certs()])))
