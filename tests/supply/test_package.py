"""Is the packaged template plain, complete and the same every time? docs/deploying.md says who needs it."""

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from supply.plain import NotPlain, references, without_loops
from tests.local.aws import template
from tests.local.aws.refusals import refusals
from tests.supply.packaging import Package, artifacts

SOURCE = template.load(template.SOURCE)
CFN_LINT = Path(__file__).parents[2] / ".local/sam/bin/cfn-lint"
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1")

# The quotas of CloudFormation: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_RESOURCES, MOST_PARAMETERS, MOST_OUTPUTS, MOST_BYTES = 500, 200, 200, 1_000_000
MOST_BYTES_OF_A_STACK_SET = 460_800

WANTED = {"Fn::Equals": [{"Ref": "Wanted"}, "true"]}
LISTED = {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, "none"]}]}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of the build, with a small file in the place of each artifact."""
    return Package.of_the_build(tmp_path_factory.mktemp("package"), without=artifacts())


def looped(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - a template's parts
    """A template with one loop."""
    whole = {
        "Parameters": {
            "Names": {"Type": "CommaDelimitedList", "Default": "none"},
            "Wanted": {"Type": "String", "Default": "true"},
            "Size": {"Type": "Number", "Default": 1},
        },
        "Metadata": {
            "AWS::CloudFormation::Interface": {
                "ParameterGroups": [{"Parameters": ["Names", "Size"]}, {"Parameters": ["Wanted"]}]
            }
        },
        "Conditions": {
            "IsWanted": WANTED,
            "IsListed": LISTED,
            "Both": {"Fn::And": [{"Condition": "IsWanted"}, {"Condition": "IsListed"}]},
        },
        "Resources": {
            "Fn::ForEach::Each": [
                "Name",
                {"Ref": "Names"},
                {"Topic${Name}": {"Type": "T", "Properties": {"Size": {"Ref": "Size"}}}},
            ],
            "Queue": {
                "Type": "Q",
                "Condition": "IsWanted",
                "Properties": {"Names": {"Fn::If": ["Both", {"Ref": "Names"}, ["nobody"]]}},
            },
        },
        "Outputs": {},
    }
    return {**whole, **parts}


# --------------------------------------------------------------------------------------------------------- the package


def test_it_has_no_macro_and_no_loop(package: Package) -> None:
    text = package.template.read_text()
    assert "Transform" not in package.read()
    assert not re.search(r"Fn::ForEach|Fn::Transform|AWS::Serverless|AWS::LanguageExtensions", text)


def test_each_artifact_that_it_names_is_beside_it_and_no_other(package: Package) -> None:
    named = set(re.findall(r"\$\{ArtifactPrefix\}([\w.-]+)", package.template.read_text()))
    assert named == {file.name for file in package.folder.iterdir()} - {package.template.name}
    assert {name.rpartition("-")[0] for name in named} == artifacts()


def test_an_artifact_is_named_by_its_content(package: Package, tmp_path: Path) -> None:
    """The same build gives the same bytes; other code gives another name, and the layer another logical id."""
    again = Package.of_the_build(tmp_path, without=artifacts())
    assert again.template.read_bytes() == package.template.read_bytes()
    (tmp_path / "build/CommonLayer/app.py").write_text("# changed\n")
    changed = Package.of(tmp_path / "build", tmp_path / "changed")
    layers = [set(template.resources(one.read(), "AWS::Lambda::LayerVersion")) for one in (package, changed)]
    assert not layers[0] & layers[1]
    others = [{file.name for file in one.folder.iterdir() if "Layer" not in file.name} for one in (package, changed)]
    assert others[0] == others[1]


def test_a_zip_file_has_the_artifact_at_its_top(package: Package) -> None:
    [file] = package.folder.glob("GuardFunction-*.zip")
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["app.py"]
        assert archive.read("app.py") == b"# GuardFunction\n"
        assert archive.getinfo("app.py").external_attr >> 16 == 0o644


def test_all_that_the_source_makes_outside_its_loops_is_there(package: Package) -> None:
    def names(resources: dict[str, Any]) -> set[str]:
        return {re.sub(r"^(CommonLayer)[0-9a-f]{10}$", r"\1", name) for name in resources if "::" not in name}

    assert names(package.read()["Resources"]) == names(SOURCE["Resources"])
    assert package.read()["Outputs"].keys() == SOURCE["Outputs"].keys()


def test_each_parameter_is_one_of_the_source_and_decides_something(package: Package) -> None:
    """None is there for nothing, and SAM put no default in the place of one."""
    plain = package.read()
    own = {"ArtifactBucket", "ArtifactBucketPerRegion", "ArtifactPrefix"}
    only_loops = {name for name in SOURCE["Parameters"] if name not in plain["Parameters"]}
    assert plain["Parameters"].keys() - own == SOURCE["Parameters"].keys() - only_loops
    assert plain["Parameters"].keys() <= references([plain[part] for part in ("Resources", "Conditions", "Outputs")])
    engines = {f"{engine}SecretArns" for engine in template.engines()}
    assert engines <= only_loops
    assert not only_loops & {"LogLevel", "Architecture", "VpcSubnetIds", "PasswordLength"}


def test_it_names_no_partition_and_no_region(package: Package) -> None:
    assert not re.search(r"arn:aws[:-]|us-east-1", package.template.read_text())


def test_cloudformation_takes_it_in_every_partition(package: Package) -> None:
    done = subprocess.run(  # noqa: S603 - the words are ours
        [CFN_LINT, "--regions", *REGIONS, "--", package.template], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_it_keeps_the_quotas_of_cloudformation(package: Package) -> None:
    plain = package.read()
    assert len(plain["Resources"]) <= MOST_RESOURCES / 5
    assert len(plain["Parameters"]) <= MOST_PARAMETERS / 2
    assert len(plain["Outputs"]) <= MOST_OUTPUTS / 2
    assert package.template.stat().st_size < min(MOST_BYTES, MOST_BYTES_OF_A_STACK_SET) / 2


# ---------------------------------------------------------------------------------------------------- without its loops


def test_a_loop_goes_with_all_that_only_it_needs() -> None:
    plain = without_loops(looped())
    assert plain["Resources"].keys() == {"Queue"}
    assert plain["Parameters"].keys() == {"Wanted"}
    assert plain["Conditions"] == {"IsWanted": WANTED}
    assert plain["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"] == [{"Parameters": ["Wanted"]}]


def test_what_depends_on_the_parameter_of_a_loop_is_as_its_default_makes_it() -> None:
    [queue] = without_loops(looped())["Resources"].values()
    assert queue == {"Type": "Q", "Condition": "IsWanted", "Properties": {"Names": ["nobody"]}}


@pytest.mark.parametrize(
    ("condition", "made"),
    [
        (LISTED, False),
        ({"Fn::Not": [LISTED]}, True),
        ({"Fn::And": [WANTED, LISTED]}, False),
        ({"Fn::And": [WANTED, {"Fn::Not": [LISTED]}]}, WANTED),
        ({"Fn::Or": [WANTED, LISTED]}, WANTED),
        ({"Fn::Or": [WANTED, {"Fn::Not": [LISTED]}]}, True),
        ({"Fn::Not": [{"Fn::Or": [WANTED, LISTED]}]}, {"Fn::Not": [WANTED]}),
    ],
    ids=json.dumps,
)
def test_a_condition_is_decided_as_far_as_it_follows(condition: object, made: object) -> None:
    resources = {
        "Fn::ForEach::Each": ["Name", {"Ref": "Names"}, {}],
        "Queue": {"Type": "Q", "Condition": "Asked"},
    }
    plain = without_loops(looped(Conditions={"Asked": condition}, Resources=resources))
    assert plain["Resources"].keys() == (set() if made is False else {"Queue"})
    assert plain.get("Conditions", {}).get("Asked", made) == made
    assert ("Asked" in plain.get("Conditions", {})) == (not isinstance(made, bool))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"WatchFunctions": "in-vpc"}, "Name VpcSubnetIds, or set WatchFunctions"),
        ({"VpcId": "vpc-0a1b2c3d"}, "Name VpcSubnetIds, or empty VpcId"),
        ({"KmsKeyArns": "arn:aws:kms:us-east-1:123456789012:key/a,"}, "Remove the empty entry"),
        ({"AttachTagKey": "rotation", "WatchFunctions": "none"}, "or empty AttachTagKey"),
    ],
)
def test_what_the_source_refuses_the_plain_template_refuses_too(values: dict[str, str], said: str) -> None:
    """A rule can also speak of a parameter that is gone; its other assertions stay."""
    [refusal] = refusals(without_loops(SOURCE), values)
    assert said in refusal


def test_a_rule_on_what_is_not_there_goes_and_others_stay() -> None:
    stays = {"Assertions": [{"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Wanted"}, "maybe"]}]}}]}
    goes = {"Assertions": [{"Assert": {"Fn::Contains": [{"Ref": "Names"}, {"Ref": "Wanted"}]}}]}
    assert without_loops(looped(Rules={"Stays": stays, "Goes": goes}))["Rules"] == {"Stays": stays}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (
            {"Resources": {"Fn::ForEach::Each": ["Name", ["a", "b"], {}]}},
            "let the loop Fn::ForEach::Each run over a parameter",
        ),
        (
            {"Outputs": {"Fn::ForEach::Each": ["Name", {"Ref": "Names"}, {}]}},
            "take the loop Fn::ForEach::Each out of Outputs",
        ),
        ({"Parameters": {"Names": {"Type": "CommaDelimitedList"}}}, "give the parameter Names a default"),
    ],
)
def test_a_loop_that_cannot_be_left_out_is_refused(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotPlain, match=reason):
        without_loops(looped(**parts))
