"""Makes a folder that deploys without SAM and without a macro: a plain template, and the zip files that it names.

For what takes no macro, or no SAM: StackSets with service-managed permissions, Service Catalog, the CDK, Terraform.
Copy the folder into a bucket, and name the bucket in the template's parameter. A zip file is named by its content, so
that CloudFormation sees what changed.

A program of its own, run with the Python that has SAM, whose translator also CloudFormation runs.
"""

import argparse
import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boto3.session import Session
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.parser.parser import Parser  # type: ignore[import-not-found]
from samtranslator.translator.translator import Translator  # type: ignore[import-not-found]

from supply import plain

_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_PLAIN_CODE = {"AWS::Lambda::Function": "Code"}
_PARAMETERS = {
    "ArtifactBucket": {
        "Type": "String",
        "AllowedPattern": "[a-z0-9][a-z0-9.-]*",
        "Description": "The bucket of the zip files. It must be in the Region of the stack.",
    },
    "ArtifactBucketPerRegion": {
        "Type": "String",
        "Default": "false",
        "AllowedValues": ["true", "false"],
        "Description": 'Add the stack\'s Region to the name of the bucket: "artifacts" is then artifacts-eu-central-1.',
    },
    "ArtifactPrefix": {
        "Type": "String",
        "Default": "",
        "AllowedPattern": "([^/].*/)?",
        "Description": "The folder of the zip files in the bucket, with a slash at its end. Empty: the top.",
    },
}
_CONDITION = {"HasBucketPerRegion": {"Fn::Equals": [{"Ref": "ArtifactBucketPerRegion"}, "true"]}}
_BUCKET = {
    "Fn::If": [
        "HasBucketPerRegion",
        {"Fn::Sub": "${ArtifactBucket}-${AWS::Region}"},
        {"Ref": "ArtifactBucket"},
    ]
}
_REGION = "us-east-1"  # SAM asks for one; nothing in the template depends on it
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip file can have


def main() -> int:
    """Package a build; return 1, and print the reason, if its template cannot be made plain."""
    parser = argparse.ArgumentParser(prog="python -m supply.package", description=__doc__)
    parser.add_argument("build", type=Path, help="the folder that `make build` filled")
    parser.add_argument("into", type=Path, help="the folder to make; what is in it goes")
    arguments = parser.parse_args()
    try:
        made = package(arguments.build, arguments.into)
    except plain.NotPlain as reason:
        print(f"cannot make the template plain: {reason}")
        return 1
    print(f"{made}: a plain template, and the zip files beside it. Copy the folder into a bucket: docs/deploying.md.")
    return 0


def package(build: Path, into: Path) -> Path:
    """Make the folder anew from a build; return its template. The same build makes the same bytes. Raises NotPlain."""
    template = plain.without_loops(yaml_parse((build / "template.yaml").read_text()))
    template["Parameters"] = {**_PARAMETERS, **template["Parameters"]}
    template["Conditions"] = {**_CONDITION, **template["Conditions"]}
    template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"].insert(
        0, {"Label": {"default": "Artifacts"}, "Parameters": list(_PARAMETERS)}
    )
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name, resource in template["Resources"].items():
        _point_to_zip_file(name, resource, build, into)
    made = into / "template.json"
    made.write_text(json.dumps(_translated(template), indent=1) + "\n")
    return made


def _point_to_zip_file(name: str, resource: dict[str, Any], build: Path, into: Path) -> None:
    """Zip what a function or a layer is made of, and let it name the zip file."""
    properties, kind = resource.get("Properties", {}), resource["Type"]
    if kind in _CODE:
        key = _zipped(name, build / properties[_CODE[kind]], into)
        properties[_CODE[kind]] = {"Bucket": _BUCKET, "Key": key}
    elif kind in _PLAIN_CODE:
        key = _zipped(name, build / properties[_PLAIN_CODE[kind]], into)
        properties[_PLAIN_CODE[kind]] = {"S3Bucket": _BUCKET, "S3Key": key}


def _zipped(name: str, folder: Path, into: Path) -> dict[str, str]:
    """Make a folder's zip file; return its key in the bucket."""
    unnamed = into / name
    with zipfile.ZipFile(unnamed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _OLDEST)
            entry.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:16]
    file = unnamed.rename(into / f"{name}-{digest}.zip")
    return {"Fn::Sub": f"${{ArtifactPrefix}}{file.name}"}


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _translated(template: dict[str, Any]) -> dict[str, Any]:
    """Return what SAM's macro would make of the template, with every reference to a parameter left as it is."""
    translator = Translator(None, Parser(), boto_session=Session(region_name=_REGION))
    translated: dict[str, Any] = translator.translate({**template, "Transform": "AWS::Serverless-2016-10-31"}, {})
    return translated


if __name__ == "__main__":
    sys.exit(main())
