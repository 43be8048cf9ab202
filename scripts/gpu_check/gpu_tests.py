"""The tests labelled gpu, as ctest knows them or as a bundle's manifest lists them."""

import json
import pathlib

from gpu_check.commands import output_of
from gpu_check.refused import Refused

LAUNCHERS = ("mpiexec", "mpirun")


def tests_of_build(build):
    """Name, command, number of ranks, environment, timeout and labels of each test labelled gpu."""
    listed = output_of(["ctest", "--test-dir", build, "-N", "-L", "^gpu$", "--show-only=json-v1"])
    if listed is None:
        raise Refused(f"ctest cannot list the tests of {build}; run scripts/setup once, or name the build folder with --build")
    tests = [to_test(entry) for entry in json.loads(listed)["tests"]]
    if not tests:  # no test at all is no proof
        raise Refused(f"no test in {build} has the label gpu")
    return tests


def to_test(entry):
    name = entry["name"]
    if "command" not in entry:
        raise Refused(f"the test {name} is not built; run scripts/setup once")
    properties = {one["name"]: one["value"] for one in entry["properties"]}
    if "FIXTURES_REQUIRED" in properties:
        raise Refused(f"the test {name} needs the fixture {properties['FIXTURES_REQUIRED'][0]}, which only ctest sets up")
    command = entry["command"]
    ranks = int(command[command.index("-n") + 1]) if pathlib.Path(command[0]).name in LAUNCHERS else 1
    return {"name": name, "command": command, "ranks": ranks, "labels": properties.get("LABELS", []),
            "environment": dict(one.split("=", 1) for one in properties.get("ENVIRONMENT", []) if "=" in one),
            "timeout_s": properties.get("TIMEOUT", 120.0)}
