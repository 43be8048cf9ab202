"""Writes a bundle: what scripts/gpu-check needs on a machine with a GPU, a driver and PyTorch's wheels, and nothing of ours.

Programs and libraries are copies; nothing is built, and the build folder stays as it is.
"""

import json
import pathlib
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile

from gpu_check.commands import output_of
from gpu_check.gpu_tests import LAUNCHERS, tests_of_build
from gpu_check.installation import MANIFEST, ROOT, commit, probe_torch, versions_of
from gpu_check.refused import Refused

ENDINGS = (".tar.xz", ".tar.gz")
# Of every system that PyTorch's wheels run on, or of the driver.
BASE = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|util|pthread|resolv|anl|stdc\+\+|gcc_s|cuda|nvidia-ml))\.so(\.|$)")
# Ranks of a bundle are on one machine: plugins for networks, and for another programming model, stay here.
NOT_NEEDED = re.compile(r"lib(fabric|ucp|uct|ucs|psm2?|psm_infinipath|ibverbs|rdmacm|oshmem|portals.*|mca_common_(ofi|ucx|verbs))\.so")


def pack(build, file):
    """Writes `file`, whose one folder has its name."""
    ending = next((one for one in ENDINGS if file.name.endswith(one) and file.name != one), None)
    if ending is None:
        raise Refused(f"--pack {file}: the name must end in {' or '.join(ENDINGS)}")
    if not (build / "bin" / "lockstep").exists():
        raise Refused(f"{build / 'bin' / 'lockstep'} is not there; run scripts/setup once, or name the build folder with --build")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = pathlib.Path(scratch) / file.name.removesuffix(ending)
        manifest = fill(bundle, build)
        with tarfile.open(file, f"w:{ending.removeprefix('.tar.')}") as archive:
            archive.add(bundle, bundle.name, filter=without_owner)
    return manifest


def without_owner(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def fill(bundle, build):
    target = bundle / "build"
    tests = [relocated(test, build) for test in tests_of_build(build)]
    torch = probe_torch(venv_of(build) / "bin" / "python")
    shutil.copytree(ROOT / "scripts" / "gpu_check", bundle / "scripts" / "gpu_check", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "scripts" / "gpu-check", bundle / "scripts")
    shutil.copytree(build / "share", target / "share")
    copy_scripts(tests, bundle)
    programs = sorted({f"bin/{one.name}" for pattern in ("lockstep", "lockstep-*") for one in (build / "bin").glob(pattern)}
                      | {word.removeprefix("build/") for test in tests for word in test["command"] if word.startswith("build/")})
    for program in programs:
        copy(build / program, target / program, strip=True)
    mpi_version, mpi_files = copy_openmpi(target / "openmpi")
    copy_libraries([*(build / program for program in programs), *mpi_files], target / "lib")
    manifest = {"versions": {"commit": commit(), **versions_of(torch), "Open MPI": mpi_version}, "glibc": needed_glibc(target), "tests": tests}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def venv_of(build):
    cached = re.search(r"^LOCKSTEP_VENV:PATH=(.+)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)
    return pathlib.Path(cached[1])


def relocated(test, build):
    """The test with its files named from the bundle's folder, and python and mpiexec by name alone."""
    venv = venv_of(build)

    def place(word):
        if word == str(venv / "bin" / "python"):
            return "python3"
        for folder, name in ((build, "build"), (ROOT / "tests", "tests")):
            if pathlib.Path(word).is_relative_to(folder):
                return f"{name}/{pathlib.Path(word).relative_to(folder)}"
        return word

    command = [place(word) for word in test["command"]]
    if pathlib.Path(command[0]).name in LAUNCHERS:
        command[0] = pathlib.Path(command[0]).name
    environment = {name: place(value) for name, value in test["environment"].items() if value != str(venv)}
    elsewhere = [word for word in [*command, *environment.values()] if str(build) in word or str(ROOT) in word or word.startswith("/")]
    if elsewhere:
        raise Refused(f"the test {test['name']} names {elsewhere[0]}, which is not packed")
    return test | {"command": command, "environment": environment}


def copy_scripts(tests, bundle):
    """Each test that is a script, with what lies beside it."""
    for word in {word for test in tests for word in test["command"] if word.startswith("tests/")}:
        for module in (ROOT / word).parent.glob("*.py"):
            copy(module, bundle / pathlib.Path(word).parent / module.name)


def copy(source, target, strip=False):
    """A file, or what a link leads to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.resolve(), target)
    if strip:
        target.chmod(target.stat().st_mode | stat.S_IWUSR)
        subprocess.run(["strip", "--strip-unneeded", target], check=True)


def copy_openmpi(target):
    """Its version, and the files whose libraries it needs."""
    listed = output_of(["ompi_info", "--path", "all", "--parsable"])
    version = output_of(["ompi_info", "--version"])
    if listed is None or version is None:
        raise Refused("ompi_info does not say where Open MPI is; a bundle needs the Open MPI of the packages openmpi-bin and libopenmpi-dev")
    places = {name: pathlib.Path(place) for name, place in (line.split(":")[1:3] for line in listed.splitlines() if line.startswith("path:"))}
    files = [places["bindir"] / "orterun", places["bindir"] / "orted", *needed_plugins(places["pkglibdir"])]
    for program in files[:2]:
        copy(program, target / "bin" / program.name)
    for name in LAUNCHERS:
        (target / "bin" / name).symlink_to("orterun")
    for plugin in files[2:]:
        copy(plugin, target / "plugins" / plugin.name)
    shutil.copytree(places["pkgdatadir"], target / "share")
    for settings in places["sysconfdir"].glob("*.conf"):
        copy(settings, target / "etc" / settings.name)
    return version.split("v", 1)[1].split()[0], [*files, *copy_pmix(files, target / "pmix")]


def needed_plugins(folder):
    plugins = sorted(folder.glob("mca_*.so"))
    libraries = libraries_of(plugins)
    return [plugin for plugin in plugins if not any(NOT_NEEDED.match(name) for name in libraries[plugin])]


def copy_pmix(openmpi_files, target):
    """Where PMIx is a package of its own, it has plugins and help files of its own, too."""
    found = {place for libraries in libraries_of(openmpi_files).values() for name, place in libraries.items() if name.startswith("libpmix.so")}
    if not found:
        return []
    folder = found.pop().resolve().parent
    plugins = sorted(folder.glob("pmix/*.so"))
    for plugin in plugins:
        copy(plugin, target / "plugins" / plugin.name)
    if (share := folder.parent / "share" / "pmix").is_dir():
        shutil.copytree(share, target / "share")
    return plugins


def libraries_of(files):
    """Of each ELF file the libraries that it loads, and those that they load: where each lies, by the name it is asked for."""
    files = [file.resolve() for file in files]
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True).stdout
    listed = listed if len(files) > 1 else f"{files[0]}:\n{listed}"
    found, libraries = {}, {}
    for line in listed.splitlines():
        if line.startswith("/"):
            libraries = found.setdefault(pathlib.Path(line.rstrip(":")), {})
        elif named := re.match(r"\s+(\S+) => (/\S+|not found)", line):
            libraries[named[1]] = None if named[2] == "not found" else pathlib.Path(named[2])
    return found


def copy_libraries(files, target):
    found = {name: place for libraries in libraries_of(files).values() for name, place in libraries.items() if not BASE.match(name)}
    missing = sorted(name for name, place in found.items() if place is None)
    if missing:
        raise Refused(f"ldd does not find {missing[0]}, which the programs need; run scripts/setup")
    wheels = found["libtorch_cpu.so"].parent.parent.parent
    for name, place in found.items():
        if not place.is_relative_to(wheels):
            copy(place, target / name)


def needed_glibc(folder):
    """The newest version that a program or library here asks for, as in "2.36"."""
    asked_for = {int(minor) for file in folder.rglob("*") if file.is_file() for minor in re.findall(rb"GLIBC_2\.(\d+)", file.read_bytes())}
    return f"2.{max(asked_for)}"
