#!/usr/bin/env python3
"""Sets everything up: system packages where it may, virtual environment, build, install.

``make setup``, ``make run`` and ``make test`` call it. As root on Debian it installs what is
missing; as anybody else it brings its own: pip and Python.h from Debian packages unpacked into the
virtual environment, a compiler from PyPI (ziglang), libbpf beside the extension. For the tests
(``--with test``) root gets QEMU, too, for those that run in a throwaway VM; others skip them, and
say what to install. A second run finds nothing to do and takes a fraction of a second.

Standard library only. Keeps to what Python 3.8 reads, to tell an old Python what is wrong.
"""

import argparse
import ctypes
import hashlib
import json
import os
import platform
import pwd
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import debpkg

ROOT = Path(__file__).resolve().parent.parent
LEAST = (3, 11)
ZIG = "0.17.0"
BUILD_TOOLS = ("setuptools>=77", "cffi>=1.16")
EXTENSION_FOLDER = ROOT / "pylibbpf" / "engine" / "kernel"
# What the installed environment is made of: a change means that it must be made anew.
INPUTS = (
    "pyproject.toml",
    "setup.py",
    "build_ffi.py",
    "tools/bootstrap.py",
    "tools/debpkg.py",
    "pylibbpf/engine/kernel/shim/*.c",
    "pylibbpf/engine/kernel/decl/*.h",
    "pylibbpf/engine/kernel/decl/shim/*.h",
)


class Stop(Exception):
    """Set-up cannot go on; the text says why and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--with", dest="extras", action="append", default=[], metavar="EXTRA")
    args = parser.parse_args()
    try:
        check_python()
        setup = Setup((ROOT / args.venv.expanduser()).absolute(), sorted(set(args.extras)))
        check_owner(setup.venv)
        if not setup.up_to_date():
            setup.run()
        for note in setup.notes:
            say(note)
    except Stop as stop:
        print(f"setup: {stop}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


# --- what can be wrong before anything is done ---


def check_python() -> None:
    version = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info < LEAST:
        raise Stop(
            f"{sys.executable} is Python {version}; pylibbpf needs {LEAST[0]}.{LEAST[1]} or later. "
            "If there is another one, name it: make PYTHON=/path/to/python3.11"
        )
    if sys.platform != "linux":
        raise Stop(f"pylibbpf is for Linux; this is {sys.platform}")
    if sys.implementation.name != "cpython":
        raise Stop(f"pylibbpf is for CPython; {sys.executable} is {sys.implementation.name}")


def check_owner(venv: Path) -> None:
    """Say so where the clone or the virtual environment is not ours to write."""
    me = user_name(os.geteuid())
    for folder in (ROOT, EXTENSION_FOLDER):
        if not os.access(folder, os.W_OK):
            owner = user_name(folder.stat().st_uid)
            home = "" if home_writable() else "export HOME=$(mktemp -d)\n    "
            raise Stop(
                f"{folder} belongs to {owner}, and you are {me}, who may not write there. "
                f"Make a clone of your own:\n"
                f"    {home}git config --global --add safe.directory {ROOT}/.git\n"
                f"    git clone {ROOT} ~/pylibbpf && cd ~/pylibbpf"
            )
    if venv.exists():
        owner_id = venv.stat().st_uid
        if not os.access(venv, os.W_OK) or owner_id != os.geteuid():
            raise Stop(
                f"{venv} belongs to {user_name(owner_id)}, and you are {me}. Name a place of your "
                "own for the virtual environment: make VENV=/path/to/venv ..."
            )
        if any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
            raise Stop(f"{venv} exists and is no virtual environment: name another with VENV=")
    else:
        parent = next(folder for folder in venv.parents if folder.exists())
        if not os.access(parent, os.W_OK):
            raise Stop(
                f"{parent} belongs to {user_name(parent.stat().st_uid)}, and you are {me}, who may "
                "not write there: name another place with VENV="
            )
    if ROOT.stat().st_uid != os.geteuid():
        say(
            f"{ROOT} belongs to {user_name(ROOT.stat().st_uid)}, and you are {me}: what is made "
            f"there will be {me}'s"
        )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def home_writable() -> bool:
    home = os.path.expanduser("~")
    return os.path.isdir(home) and os.access(home, os.W_OK)


# --- what the host has ---


def compiler() -> Optional[str]:
    """The C compiler that this host has: $CC, cc or gcc."""
    named = os.environ.get("CC")
    for name in [named.split()[0]] if named else ["cc", "gcc", "clang"]:
        found = shutil.which(name)
        if found:
            return named or found
    return None


def compiles(command: str, environment: Dict[str, str]) -> bool:
    """Whether a C program can be linked with it: a compiler without libc's headers cannot."""
    done = subprocess.run(
        [*shlex.split(command), "-x", "c", "-o", "/dev/null", "-"],
        env=environment,
        input="#include <stdio.h>\n#include <linux/types.h>\nint main(void) { return 0; }\n",
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def has_python_h() -> bool:
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return False
    # Debian's pyconfig.h refers to one below the architecture's folder, of the same package.
    return Path(sysconfig.get_config_h_filename()).exists()


def has_ensurepip() -> bool:
    try:
        from ensurepip import version  # Debian keeps it in python3-venv
    except ImportError:
        return False
    return bool(version())


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def may_install() -> bool:
    return os.geteuid() == 0 and debpkg.available()


def for_guests() -> List[str]:
    """The packages that throwaway VMs want, and that are missing here."""
    if platform.machine() != "x86_64":
        return []  # pylibbpf.guest.qemu: guests run this host's programs, on kernels for x86-64
    wanted = [] if shutil.which("qemu-system-x86_64") else ["qemu-system-x86"]
    # One that needs shared libraries stays as it is: the two packages exclude each other, and
    # guests then bring their own.
    return wanted + ([] if shutil.which("busybox") else ["busybox-static"])


class Setup:
    """One virtual environment, and what is known of it."""

    def __init__(self, venv: Path, extras: Sequence[str]) -> None:
        self.venv = venv
        self.extras = list(extras)
        self.python = venv / "bin" / "python"
        self.cache = venv / ".cache"
        self.stamp = venv / "pylibbpf-setup.json"
        self.log = venv / "setup.log"
        self.notes: List[str] = []
        self.environment = dict(os.environ)

    # --- has it all been done before? ---

    def fingerprint(self) -> Dict[str, object]:
        digest = hashlib.sha256()
        for pattern in INPUTS:
            for path in sorted(ROOT.glob(pattern)):
                digest.update(path.read_bytes())
        return {
            "clone": str(ROOT),
            "python": os.path.realpath(sys.executable),
            "version": sys.version,
            "inputs": digest.hexdigest(),
        }

    def up_to_date(self) -> bool:
        try:
            done = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return False
        if done["fingerprint"] != self.fingerprint() or not self.python.exists():
            return False
        if not set(self.extras) <= set(done["extras"]):
            self.extras = sorted(set(self.extras) | set(done["extras"]))
            return False
        if done["extension"] and not any(EXTENSION_FOLDER.glob("_libbpf*.so")):
            return False
        # Root gets what is missing for guests, unless that has failed on a host as this one.
        if "test" in self.extras and may_install() and for_guests() != done["guests"]:
            return False
        # Without the extension: worth another try once the host has changed.
        if not done["extension"] and done["host"] != self.host():
            return False
        self.notes = done["notes"]
        return True

    def host(self) -> Dict[str, object]:
        return {"compiler": compiler(), "python_h": has_python_h()}

    def finish(self, extension: bool) -> None:
        done = {
            "fingerprint": self.fingerprint(),
            "extras": self.extras,
            "extension": extension,
            "host": self.host(),
            "guests": for_guests(),
            "notes": self.notes,
        }
        self.stamp.write_text(json.dumps(done, indent=2) + "\n")

    # --- the steps ---

    def run(self) -> None:
        say(f"pylibbpf goes into {self.venv} (the first time takes a minute or two)")
        if may_install():
            self.system_packages()
        self.make_venv()
        self.use_writable_caches()
        wanted = "[" + ",".join(self.extras) + "]" if self.extras else ""
        say("fetching Python packages")
        self.pip("install", *BUILD_TOOLS)
        builds = self.prepare_build()
        say("building pylibbpf" if builds else "installing pylibbpf")
        if builds:
            # One of sources that have changed since must not pass for what fails to build now.
            for old in EXTENSION_FOLDER.glob("_libbpf*.so"):
                old.unlink()
        self.pip("install", "--no-build-isolation", "--editable", f"{ROOT}{wanted}")
        # An editable install compiles nothing; a Python that compiles as it imports takes 1 MB
        # and some milliseconds more, at every start where PYTHONDONTWRITEBYTECODE is set.
        self.command([str(self.python), "-m", "compileall", "-q", str(ROOT / "pylibbpf")])
        extension = self.check_extension()
        if extension:
            self.bring_libbpf()
        self.finish(extension)
        say(f"done: {self.venv}/bin/pylibbpf")

    def system_packages(self) -> None:
        """As root: what is missing, from Debian. Where that fails, the other ways remain."""
        version = "{}.{}".format(*sys.version_info[:2])
        wanted = for_guests() if "test" in self.extras else []
        command = compiler()
        if command is None:
            wanted += ["gcc", "libc6-dev"]
        elif not compiles(command, self.environment):
            wanted += ["libc6-dev"]
        if not has_library("libbpf.so.1"):
            wanted += ["libbpf1"]
        if not Path("/etc/ssl/certs/ca-certificates.crt").exists():
            wanted += ["ca-certificates"]
        if sys.base_prefix == "/usr":
            wanted += [] if has_ensurepip() else [f"python{version}-venv"]
            wanted += [] if has_python_h() else [f"python{version}-dev"]
        if not wanted:
            return
        say(f"installing {' '.join(wanted)}")
        install = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
        environment = {**self.environment, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            self.command(install, environment)
        except Stop:
            try:
                self.command(["apt-get", "update"], environment)
                self.command(install, environment)
            except Stop as stop:
                say(f"going on without these packages: {stop}")

    def make_venv(self) -> None:
        if self.python.exists() and self.venv_python_runs():
            if self.has_pip():
                return
        else:
            say(f"making the virtual environment with {sys.executable}")
            pip = [] if has_ensurepip() else ["--without-pip"]
            self.command([sys.executable, "-m", "venv", "--clear", *pip, str(self.venv)])
        self.cache.mkdir(exist_ok=True)
        if not self.has_pip():
            self.bring_pip()

    def venv_python_runs(self) -> bool:
        """Whether the environment's Python works, and is the one that runs this."""
        probe = "import sys; print(sys.version)"
        try:
            done = subprocess.run(
                [str(self.python), "-c", probe], stdout=subprocess.PIPE, text=True, check=False
            )
        except OSError:
            return False
        return done.returncode == 0 and done.stdout.strip() == sys.version.strip()

    def has_pip(self) -> bool:
        return self.succeeds([str(self.python), "-c", "import pip"])

    def bring_pip(self) -> None:
        say("bringing pip (the package python3-venv is missing)")
        root = self.cache / "pip"
        try:
            debpkg.unpack(["python3-pip-whl"], root, self.cache)
        except debpkg.DebianError as error:
            raise Stop(
                f"Python has no ensurepip, and pip is not to be had otherwise: {error}\n"
                "Install it (Debian: apt-get install python3-venv) and try again"
            ) from None
        wheel = next((root / "usr" / "share" / "python-wheels").glob("pip-*.whl"))
        self.use_writable_caches()
        self.command([str(self.python), f"{wheel}/pip", "install", "-q", "pip"])

    def use_writable_caches(self) -> None:
        self.cache.mkdir(exist_ok=True)
        self.environment["ZIG_GLOBAL_CACHE_DIR"] = str(self.cache / "zig")
        if not home_writable():
            self.environment["HOME"] = str(self.cache)
            self.environment["XDG_CACHE_HOME"] = str(self.cache)

    def prepare_build(self) -> bool:
        """Find or bring what the C extension needs; False where it cannot be built."""
        command = compiler()
        try:
            if command is None or not compiles(command, self.environment):
                self.bring_compiler()
            if not has_python_h():
                self.bring_python_h()
        except (Stop, debpkg.DebianError) as error:
            self.notes.append(f"the C extension cannot be built here: {error}")
            return False
        return True

    def bring_compiler(self) -> None:
        say("fetching a C compiler from PyPI: ziglang, 100 MB (this host has none)")
        self.pip("install", f"ziglang=={ZIG}")
        zig = next(self.venv.glob("lib/python*/site-packages/ziglang/zig"))
        script = self.cache / "zig-cc"
        # zig adds run-time checks to what is not optimised; other compilers do not.
        script.write_text(
            f'#!/bin/sh\nexec {shlex.quote(str(zig))} cc -fno-sanitize=undefined "$@"\n'
        )
        script.chmod(0o755)
        command = shlex.quote(str(script))
        if not compiles(command, self.environment):
            raise Stop("there is no C compiler, and ziglang's does not work here")
        self.environment["CC"] = command
        self.environment["LDSHARED"] = f"{command} -shared"

    def bring_python_h(self) -> None:
        version = "{}.{}".format(*sys.version_info[:2])
        say("fetching Python.h (this host has none)")
        root = self.cache / "python-dev"
        debpkg.unpack([f"libpython{version}-dev"], root, self.cache)
        include = root / "usr" / "include"
        if not (include / f"python{version}" / "Python.h").exists():
            raise Stop(f"libpython{version}-dev holds no Python.h")
        flags = [f"-I{include / f'python{version}'}", f"-I{include}"]
        self.environment["CFLAGS"] = " ".join(
            [*map(shlex.quote, flags), self.environment.get("CFLAGS", "")]
        ).strip()

    def check_extension(self) -> bool:
        probe = "from pylibbpf.engine.kernel import _libbpf"
        if self.succeeds([str(self.python), "-c", probe], self.environment):
            return True
        if not self.notes:
            self.notes.append(f"the C extension could not be built: see {self.log}")
        self.notes.append(
            "pylibbpf is installed without it: objects can be inspected, but not loaded into the "
            "kernel (Debian: apt-get install gcc python3-dev, then make setup)"
        )
        return False

    def bring_libbpf(self) -> None:
        """Put libbpf and what it needs beside the extension, where the host has none."""
        missing = [
            package
            for library, package in (
                ("libz.so.1", "zlib1g"),
                ("libelf.so.1", "libelf1"),
                ("libbpf.so.1", "libbpf1"),
            )
            if not has_library(library)
        ]
        if "libbpf1" not in missing or (EXTENSION_FOLDER / "libbpf.so.1").exists():
            return
        say(f"fetching {' '.join(missing)} (this host has no libbpf)")
        root = self.cache / "libbpf"
        try:
            debpkg.unpack(missing, root, self.cache)
        except debpkg.DebianError as error:
            self.notes.append(f"libbpf is not to be had here, so nothing can be loaded: {error}")
            return
        for name in ("libz.so.1", "libelf.so.1", "libbpf.so.1"):
            for found in root.rglob(name):
                shutil.copyfile(found, EXTENSION_FOLDER / name)

    # --- running things ---

    def pip(self, *arguments: str) -> None:
        self.command(
            [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments],
            self.environment,
        )

    def succeeds(self, command: Sequence[str], env: Optional[Dict[str, str]] = None) -> bool:
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdin=quiet, stdout=quiet, stderr=quiet, check=False
        )
        return done.returncode == 0

    def command(self, command: Sequence[str], env: Optional[Dict[str, str]] = None) -> None:
        """Run it with its output in the log; where it fails, show the end of that."""
        self.venv.mkdir(parents=True, exist_ok=True)
        shown = " ".join(map(shlex.quote, command))
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env or self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        # Opened after the command: making the environment anew removes what was there.
        with self.log.open("a") as log:
            log.write(f"$ {shown}\n{done.stdout}\n")
        if done.returncode:
            last = "\n    ".join(done.stdout.strip().splitlines()[-12:])
            raise Stop(f"failed with status {done.returncode}: {shown}\n    {last}\n"
                       f"All of its output: {self.log}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
