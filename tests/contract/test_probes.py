"""Probes: attached with options of their own, seen striking, gone; and why not, where not."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.engine.kernel.library import version

LIBC = ctypes.CDLL(None, use_errno=True)
NO_SUCH = "pylibbpf_no_such_function"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def touch() -> None:
    """Call openat(2) once."""
    os.close(os.open("/proc/self/comm", os.O_RDONLY))


def c_compiler() -> list[str] | None:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    return None


def refused(obj: pylibbpf.Object, program: pylibbpf.Program) -> None:
    """A kernel that does not have it refuses the program, or to attach it."""
    try:
        obj.load()
    except pylibbpf.BpfError as error:
        assert error.object == program.name  # noqa: PT017
        return
    with pytest.raises(pylibbpf.BpfError):
        program.attach()


@pytest.fixture
def only(open_test_object):
    """Load one program of the object with all probes; gives it and the globals."""

    def load(name: str, pid: int | None = None):
        obj = open_test_object("probes")
        obj.globals["target_pid"] = os.getpid() if pid is None else pid
        obj.programs[name].autoload = True
        obj.load()
        return obj.programs[name], obj.globals

    return load


# ---- functions of the kernel


def test_kprobe(only, kernel_has):
    if not kernel_has("kprobes"):
        pytest.skip("needs a kernel with CONFIG_KPROBES")
    program, seen = only("kprobe")
    before = descriptors()
    with program.attach_kprobe("do_sys_openat2", cookie=77):
        touch()
        assert seen["hits"] >= 1
        assert seen["cookie"] == 77
    assert descriptors() == before
    hits = seen["hits"]
    touch()
    assert seen["hits"] == hits


def test_kprobe_by_address(only, kernel_has):
    if not kernel_has("kprobes"):
        pytest.skip("needs a kernel with CONFIG_KPROBES")
    symbols = Path("/proc/kallsyms").read_text()
    address = int(re.search(r"^(\w+) t do_sys_openat2$", symbols, re.M | re.I)[1], 16)
    program, seen = only("kprobe")
    if not address:
        pytest.skip("needs the addresses of /proc/kallsyms (CAP_SYSLOG)")
    with program.attach_kprobe(address):
        touch()
        assert seen["hits"] >= 1


def test_kretprobe(only, kernel_has):
    if not kernel_has("kprobes"):
        pytest.skip("needs a kernel with CONFIG_KPROBES")
    program, seen = only("kretprobe")
    with program.attach_kprobe("do_sys_openat2", retprobe=True, cookie=5):
        touch()
        assert seen["hits"] >= 1
        assert seen["cookie"] == 5


@pytest.mark.parametrize("mode", ["link", "perf"])
def test_kprobe_modes(only, kernel_has, mode):
    program, seen = only("kprobe")
    if version() < (1, 2):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"libbpf 1\.2"):
            program.attach_kprobe("do_sys_openat2", mode=mode)
    elif not kernel_has("kprobes"):
        with pytest.raises(pylibbpf.BpfError, match="CONFIG_KPROBES"):
            program.attach_kprobe("do_sys_openat2", mode=mode)
    else:
        with program.attach_kprobe("do_sys_openat2", mode=mode):
            touch()
            assert seen["hits"] >= 1


def test_ksyscall(only, kernel_has):
    program, seen = only("ksyscall")
    if not kernel_has("kprobes"):
        with pytest.raises(pylibbpf.BpfError, match="CONFIG_KPROBES"):
            program.attach_ksyscall("openat")
        return
    with program.attach_ksyscall("openat", cookie=9):
        touch()
        assert seen["hits"] >= 1
        assert seen["cookie"] == 9
    hits = seen["hits"]
    with program.attach_ksyscall("openat", retprobe=True):
        touch()
        assert seen["hits"] > hits
    with pytest.raises(pylibbpf.BpfError, match=r"no system call openatt; near: openat"):
        program.attach_ksyscall("openatt")


def test_kprobe_multi(only, kernel_has):
    program, seen = only("kprobe_multi")
    if not kernel_has("fprobe"):
        for arguments in ({"pattern": "do_sys_openat*"}, {"functions": ["do_sys_openat2"]}):
            with pytest.raises(pylibbpf.BpfError, match=r"FPROBE|kprobe.multi"):
                program.attach_kprobe_multi(**arguments)
        return
    with program.attach_kprobe_multi("do_sys_openat*"):
        touch()
        assert seen["hits"] >= 1
    hits = seen["hits"]
    with program.attach_kprobe_multi(
        functions=["do_sys_openat2", "__x64_sys_getpgid"], cookies=[3, 4]
    ):
        touch()
        assert seen["cookie"] == 3
        os.getpgid(0)
        assert seen["cookie"] == 4
    assert seen["hits"] >= hits + 2
    with program.attach_kprobe_multi("do_sys_openat*", retprobe=True):
        touch()
    with pytest.raises(pylibbpf.BpfError, match=f"no function of this kernel fits .*{NO_SUCH}"):
        program.attach_kprobe_multi(f"{NO_SUCH}*")
    with pytest.raises(pylibbpf.BpfError, match=f"no function {NO_SUCH}"):
        program.attach_kprobe_multi(functions=["do_sys_openat2", NO_SUCH])


def test_kprobe_session(open_test_object, kernel_has):
    obj = open_test_object("probes")
    program = obj.programs["kprobe_session"]
    program.autoload = True
    obj.globals["target_pid"] = os.getpid()
    if version() < (1, 5):
        assert "libbpf 1.5" in program.obstacle
        with pytest.raises(pylibbpf.NotSupportedError, match=r"kprobe\.session.*libbpf 1\.5"):
            obj.load()
        program.autoload = False
        obj.load()
        return
    assert program.obstacle is None
    if not (kernel_has("fprobe") and kernel_has("BPF_TRACE_KPROBE_SESSION")):
        refused(obj, program)
        return
    obj.load()
    with program.attach():
        touch()
        hits = obj.globals["hits"]  # on entry and on return
        assert hits >= 2
        assert hits % 2 == 0
    with program.attach_kprobe_multi(functions=["do_sys_openat2"], cookies=[8], session=True):
        touch()
        assert obj.globals["cookie"] == 8


def test_functions_that_cannot_be_probed(only, kernel_has):
    """Missing, inlined, a variable, forbidden: each is said, and nothing stays attached."""
    program, _ = only("kprobe")
    before = descriptors()
    if not kernel_has("kprobes"):
        with pytest.raises(pylibbpf.BpfError, match="built without kprobes") as caught:
            program.attach_kprobe("do_sys_openat2")
        assert caught.value.errno
        return
    with pytest.raises(pylibbpf.BpfError, match="no function do_sys_openat3; near: do_sys_openat2"):
        program.attach_kprobe("do_sys_openat3")
    with pytest.raises(pylibbpf.BpfError, match=r"init_task .*a variable"):
        program.attach_kprobe("init_task")
    with pytest.raises(pylibbpf.BpfError, match="outside the function do_sys_openat2, which has"):
        program.attach_kprobe("do_sys_openat2", offset=1 << 20)
    with pytest.raises(pylibbpf.BpfError, match="middle of an instruction"):
        program.attach_kprobe("do_sys_openat2", offset=1)
    with pytest.raises(pylibbpf.BpfError, match="takes no offset"):
        program.attach_kprobe("do_sys_openat2", offset=5, retprobe=True)
    with pytest.raises(pylibbpf.BpfError, match="no code"):
        program.attach_kprobe(1 << 40)
    blacklist = Path("/sys/kernel/debug/kprobes/blacklist")
    if blacklist.exists():
        name = next(
            line.split("\t")[1]
            for line in blacklist.read_text().splitlines()
            if re.search(r"\t[a-z]\w+$", line)
        )
        with pytest.raises(pylibbpf.BpfError, match=r"own list|notrace|may not be"):
            program.attach_kprobe(name)
    assert descriptors() == before


# ---- functions of programs


@pytest.mark.usefixtures("uprobes")
def test_uprobe(only):
    program, seen = only("uprobe")
    before = descriptors()
    with program.attach_uprobe("libc.so.6", "getpgid", cookie=11) as link:
        os.getpgid(0)
        LIBC.getpgid(4242)
        assert link.fd >= 0
        assert seen["hits"] == 2
        assert (seen["argument"] & 0xFFFFFFFF, seen["cookie"]) == (4242, 11)
    assert descriptors() == before
    LIBC.getpgid(4243)
    assert seen["hits"] == 2


@pytest.mark.usefixtures("uprobes")
def test_uretprobe(only):
    program, seen = only("uretprobe")
    with program.attach_uprobe("libc", "getpgid", retprobe=True, pid=0):
        assert LIBC.getpgid(0) == seen["result"] & 0xFFFFFFFF
    assert seen["hits"] == 1


@pytest.mark.usefixtures("uprobes")
def test_uprobe_by_offset(only):
    from pylibbpf.loader.binary import Binary

    path = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if re.search(r"/libc(-[\d.]+)?\.so", line)
    )
    with Binary(path) as binary:
        offset = next(each.offset for each in binary.functions() if each.name == "getpgid")
    program, seen = only("uprobe")
    with program.attach_uprobe(path, offset=offset):
        LIBC.getpgid(0)
    assert seen["hits"] == 1


CHILD = """
    import os, sys
    for line in sys.stdin:
        os.getpgid(0)
        print(flush=True)
"""


@pytest.mark.usefixtures("uprobes")
def test_uprobe_of_one_process(only):
    program, seen = only("uprobe", pid=0)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:

        def call() -> None:
            child.stdin.write("\n")
            child.stdin.flush()
            child.stdout.readline()

        call()
        with program.attach_uprobe("libc", "getpgid", pid=child.pid):
            LIBC.getpgid(0)
            assert seen["hits"] == 0
            call()
            assert seen["hits"] == 1
        call()
        assert seen["hits"] == 1
        child.stdin.close()


def test_a_binary_that_is_a_process(only):
    program, _ = only("uprobe")
    with pytest.raises(
        pylibbpf.BpfError, match=f"/proc/{os.getpid()}/exe has no function {NO_SUCH}"
    ):
        program.attach_uprobe(os.getpid(), NO_SUCH)


def test_uprobe_multi(only, kernel_has):
    program, seen = only("uprobe_multi") if version() >= (1, 3) else only("uprobe")
    if version() < (1, 3):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"libbpf 1\.3"):
            program.attach_uprobe_multi("libc.so.6", "getpg*")
        return
    if not kernel_has("BPF_TRACE_UPROBE_MULTI"):
        with pytest.raises(pylibbpf.BpfError):
            program.attach_uprobe_multi("libc.so.6", "getpg*")
        return
    with program.attach_uprobe_multi("libc.so.6", "getpg*"):
        LIBC.getpgid(0)
        LIBC.getpgrp()
    assert seen["hits"] == 2
    with program.attach_uprobe_multi(
        "libc", functions=["getpgid", "getsid"], cookies=[21, 22], pid=os.getpid()
    ):
        LIBC.getpgid(0)
        assert seen["cookie"] == 21
        LIBC.getsid(0)
        assert seen["cookie"] == 22
    with pytest.raises(pylibbpf.BpfError, match="fits 'pylibbpf_no"):
        program.attach_uprobe_multi("libc", "pylibbpf_no*")
    with pytest.raises(pylibbpf.BpfError, match="no function getpgidd; near: getpgid"):
        program.attach_uprobe_multi("libc", functions=["getsid", "getpgidd"])
    with pytest.raises(pylibbpf.BpfError, match="outside the code"):
        program.attach_uprobe_multi("libc", offsets=[4])


def test_uprobe_session(open_test_object, kernel_has):
    obj = open_test_object("probes")
    program = obj.programs["uprobe_session"]
    program.autoload = True
    obj.globals["target_pid"] = os.getpid()
    if version() < (1, 6):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"uprobe\.session.*libbpf 1\.6"):
            obj.load()
        return
    if not kernel_has("BPF_TRACE_UPROBE_SESSION"):
        refused(obj, program)
        return
    obj.load()
    with program.attach():
        LIBC.getpgid(0)
    assert obj.globals["hits"] == 2


# A place for a probe as <sys/sdt.h> of SystemTap makes it, with the first argument in a register.
USDT = r"""
#include <unistd.h>
static int counted(int n)
{
	__asm__ volatile("990: nop\n"
		".pushsection .note.stapsdt,\"\",\"note\"\n"
		".balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
		"991: .asciz \"stapsdt\"\n992: .balign 4\n"
		"993: .8byte 990b\n.8byte 0\n.8byte 0\n"
		".asciz \"pylibbpf\"\n.asciz \"counted\"\n.asciz \"-4@%0\"\n"
		"994: .balign 4\n.popsection\n" : : "r"(n));
	return n;
}
int main(void)
{
	char c;
	int n = 100;
	while (read(0, &c, 1) == 1) {
		counted(n++);
		if (write(1, &c, 1) != 1)
			return 1;
	}
	return 0;
}
"""


@pytest.fixture(scope="session")
def with_usdt(tmp_path_factory) -> Path:
    """A program with a USDT probe, which it passes for each byte that it reads."""
    compiler = c_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("usdt")
    (folder / "usdt.c").write_text(USDT)
    subprocess.run(
        [*compiler, "-O1", "-no-pie", "-o", folder / "usdt", folder / "usdt.c"], check=True
    )
    return folder / "usdt"


@pytest.mark.usefixtures("uprobes")
@pytest.mark.parametrize("one_process", [False, True])
def test_usdt(only, with_usdt, one_process):
    program, seen = only("usdt", pid=0)
    before = descriptors()
    if version() == (1, 7):
        # Our objects are compiled with libbpf 1.1's header, and 1.7 has another layout.
        with pytest.raises(pylibbpf.NotSupportedError, match=r"usdt\.bpf\.h of libbpf before 1\.7"):
            program.attach_usdt(with_usdt, "pylibbpf", "counted")
        assert descriptors() == before
        return
    with subprocess.Popen([with_usdt], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:

        def call() -> None:
            child.stdin.write(b"x")
            child.stdin.flush()
            child.stdout.read(1)

        call()
        pid = child.pid if one_process else None
        inside = descriptors()
        with program.attach_usdt(with_usdt, "pylibbpf", "counted", pid=pid, cookie=1 << 33):
            call()
            call()
            assert seen["hits"] == 2
            assert (seen["argument"], seen["cookie"]) == (102, 1 << 33)
        assert descriptors() == inside
        call()
        assert seen["hits"] == 2
        child.stdin.close()
    assert descriptors() <= before


def test_usdt_probes_that_are_not_there(only, with_usdt, open_test_object):
    program, _ = only("usdt")
    if version() == (1, 7):
        pytest.skip("needs an object compiled with libbpf 1.7's usdt.bpf.h")
    with pytest.raises(
        pylibbpf.BpfError, match="no USDT probe pylibbpf:conted; near: pylibbpf:counted"
    ):
        program.attach_usdt(with_usdt, "pylibbpf", "conted")
    with pytest.raises(pylibbpf.BpfError, match="it has pylibbpf:counted"):
        program.attach_usdt(with_usdt, "other", "zzzzzzzzzzzzz")
    with pytest.raises(pylibbpf.BpfError, match="no USDT probes at all"):
        program.attach_usdt("/bin/true", "pylibbpf", "counted")
    obj = open_test_object("kprobe")
    obj.load()
    with pytest.raises(pylibbpf.BpfError, match=r"usdt\.bpf\.h"):
        obj.programs["real"].attach_usdt(with_usdt, "pylibbpf", "counted")


@pytest.mark.parametrize(
    ("binary", "arguments", "text"),
    [
        ("/bin/pylibbpf-none", {"function": "main"}, "no file /bin/pylibbpf-none"),
        ("libpylibbpf-none", {"function": "main"}, "searched for in /"),
        ("pylibbpf-none", {"function": "main"}, "searched for in /"),
        ("libc.so.6", {"function": "getpgidd"}, "no function getpgidd; near: getpgid"),
        ("libc.so.6", {"function": "getpgid", "pid": (1 << 22) - 1}, "no process 4194303"),
        ("libpylibbpf", {"function": "f", "pid": 0}, "has mapped no library libpylibbpf"),
        ("libc.so.6", {"offset": 4}, "offset 0x4 is outside the code"),
        ("libc.so.6", {"offset": 1 << 40}, "outside the code"),
        (__file__, {"offset": 4}, "not an ELF file"),
        (__file__, {"function": "main"}, "not an ELF file"),
    ],
)
def test_uprobes_that_go_nowhere(only, binary, arguments, text):
    program, _ = only("uprobe")
    before = descriptors()
    with pytest.raises(pylibbpf.BpfError, match=text):
        program.attach_uprobe(binary, **arguments)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("method", "arguments", "error", "text"),
    [
        ("attach_kprobe", {"function": "f+4"}, ValueError, "offset=4"),
        ("attach_kprobe", {"function": "f", "offset": -1}, ValueError, "offset is from 0"),
        ("attach_kprobe", {"function": 0}, ValueError, "positive"),
        ("attach_kprobe", {"function": "f", "mode": "fast"}, ValueError, "default, legacy"),
        ("attach_kprobe", {"function": 1 << 40, "mode": "legacy"}, ValueError, "name of a func"),
        ("attach_kprobe", {"function": "f\0g"}, ValueError, "NUL"),
        ("attach_kprobe_multi", {}, ValueError, "none was given"),
        ("attach_kprobe_multi", {"pattern": "a*", "functions": ["a"]}, ValueError, "not pattern"),
        ("attach_kprobe_multi", {"functions": "abc"}, TypeError, "sequence of names"),
        ("attach_kprobe_multi", {"functions": ["a"], "cookies": [1, 2]}, ValueError, "2 cookies"),
        ("attach_kprobe_multi", {"pattern": "a*", "cookies": [1]}, ValueError, "pattern finds"),
        ("attach_uprobe", {"binary": "libc"}, ValueError, "give a function"),
        ("attach_uprobe", {"binary": "", "function": "f"}, ValueError, "empty"),
        ("attach_uprobe", {"binary": -1, "function": "f"}, ValueError, "positive"),
        ("attach_uprobe", {"binary": 1, "function": "f", "pid": 2}, ValueError, "its path"),
        ("attach_uprobe", {"binary": "libc", "function": "f", "pid": -2}, ValueError, "pid"),
        ("attach_uprobe_multi", {"binary": "libc"}, ValueError, "none was given"),
    ],
)
def test_what_makes_no_sense(only, method, arguments, error, text):
    program, _ = only("uprobe")
    with pytest.raises(error, match=text):
        getattr(program, method)(**arguments)


def test_programs_of_another_type(load_test_object):
    program = load_test_object("attach").programs["raw"]
    with pytest.raises(TypeError, match=r"attach_uprobe\(\) attaches programs of type KPROBE"):
        program.attach_uprobe("libc", "getpgid")
