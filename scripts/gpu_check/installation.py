"""Where programs, tests and libraries are: in a build folder here, or in a bundle that scripts/gpu-check --pack wrote elsewhere.

A bundle is laid out like a checkout that was built: scripts/, and beneath build/ what a build has, and besides
    gpu-check.json   the manifest: the tests labelled gpu, and what all was built with
    lib/             shared libraries that are neither the base system's nor PyTorch's wheels'
    openmpi/         Open MPI's programs, plugins, help files and settings
"""

import json
import os
import pathlib
import re
import shutil
import typing

from gpu_check.commands import output_of
from gpu_check.gpu_tests import tests_of_build
from gpu_check.refused import Refused

MANIFEST = "gpu-check.json"
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
PROBE = SCRIPTS / "gpu_check" / "probe.py"
PROBE_S = 300  # importing PyTorch from a cold disk


class Installation(typing.NamedTuple):
    build: pathlib.Path
    tests: list
    environment: dict  # of every program of ours
    peers_python: str  # for --python of lockstep bench
    python: str
    torch: dict  # what probe.py found
    versions: dict

    def why_not_compiled(self, commands):
        """Why torch.compile does not work here, or None."""
        ended = commands.run([self.python, PROBE, "--compile"], {}, PROBE_S)
        if ended.cut_off:
            return "there was no time to try it"
        errors = re.findall(r"^[\w.]*(?:Error|Exception): .+", ended.text, re.MULTILINE) or [f"exit code {ended.code}"]
        return errors[-1] if ended.code != 0 else None

    def find_sanitizer(self):
        """compute-sanitizer: on the PATH, of a CUDA toolkit, or of a wheel beside PyTorch's."""
        toolkits = [os.environ.get("CUDA_HOME", "/usr/local/cuda"), *(pathlib.Path(folder).parent for folder in self.torch["libraries"])]
        folders = [os.environ.get("PATH", os.defpath), *(f"{toolkit}/{place}" for toolkit in toolkits for place in ("bin", "compute-sanitizer"))]
        return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


def default_python():
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else "python3"


def probe_torch(python):
    found = output_of([python, PROBE], PROBE_S)
    if found is None:
        raise Refused(f"{python} cannot import PyTorch; name an interpreter that can with --python")
    return json.loads(found)


def read_manifest(build):
    file = build / MANIFEST
    return json.loads(file.read_text()) if file.exists() else None


def commit():
    return (output_of(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"]) or "unknown").strip()


def open_build(build, python):
    if not (build / "bin" / "lockstep").exists():
        raise Refused(f"{build / 'bin' / 'lockstep'} is not there; run scripts/setup once, or name the build folder with --build")
    torch = probe_torch(python)
    return Installation(build, tests_of_build(build), {}, python, python, torch, {"commit": commit()} | versions_of(torch))


def versions_of(torch):
    return {"PyTorch": torch["torch"], "CUDA": torch["cuda"], "NCCL": torch["nccl"]} | (
        {"transformers": torch["transformers"]} if torch["transformers"] else {})


def open_bundle(build, python, manifest):
    check_glibc(manifest["glibc"])
    torch, built_with = probe_torch(python), manifest["versions"]["PyTorch"]
    if torch["torch"] != built_with:
        raise Refused(f"{python} has PyTorch {torch['torch']}, and this bundle was built with {built_with}; name an interpreter "
                      "that has it with --python")
    def at_home(word):
        return str(build.parent / word) if word.startswith(("build/", "tests/")) else word

    tests = [test | {"command": [at_home(word) for word in test["command"]],
                     "environment": {name: at_home(value) for name, value in test["environment"].items()}} for test in manifest["tests"]]
    return Installation(build, tests, bundle_environment(build, python, torch), str(SCRIPTS / "gpu_check" / "python_alone"), python,
                        torch, manifest["versions"] | versions_of(torch))


def check_glibc(needed):
    """Both as in "2.36"."""
    here = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
    if tuple(map(int, here.split("."))) < tuple(map(int, needed.split("."))):
        raise Refused(f"this machine has glibc {here}, and the bundle's programs need {needed}; pack it on an older distribution")


def bundle_environment(build, python, torch):
    """Our libraries come before those that the programs were linked with, whose folders may be here and hold others."""
    openmpi, outer = build / "openmpi", os.environ.get("LD_LIBRARY_PATH", "")
    places = {"OPAL_PREFIX": openmpi, "OPAL_BINDIR": openmpi / "bin", "OPAL_LIBDIR": build / "lib", "OPAL_PKGLIBDIR": openmpi / "plugins",
              "OPAL_PKGDATADIR": openmpi / "share", "OPAL_SYSCONFDIR": openmpi / "etc",
              "PMIX_PREFIX": openmpi / "pmix", "PMIX_PKGLIBDIR": openmpi / "pmix" / "plugins", "PMIX_PKGDATADIR": openmpi / "pmix" / "share",
              "PMIX_SYSCONFDIR": openmpi / "etc", "HWLOC_PLUGINS_PATH": openmpi / "hwloc"}  # hwloc's of another version may lie about
    return {name: str(place) for name, place in places.items()} | {
        "OMPI_MCA_plm": "isolated",  # one machine, which may be without ssh
        "PATH": f"{openmpi / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": ":".join(filter(None, [str(build / "lib"), *torch["libraries"], outer])),
        "GPU_CHECK_PYTHON": python, "GPU_CHECK_LIBRARY_PATH": outer}
