"""Opening, editing, loading, attaching, closing."""

from __future__ import annotations

import copy
import errno
import gc
import io
import os
import pickle
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest

import pylibbpf


def privileged() -> bool:
    """Whether this process may list the kernel's BTF by id (CAP_SYS_ADMIN)."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> 21 & 1)


def test_open_path_bytes_and_file(engine, objects):
    path = objects / "minimal.bpf.o"
    data = path.read_bytes()
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        with pylibbpf.open_object(source, engine=engine) as obj:
            assert list(obj.programs)
            assert not obj.loaded
    with path.open("rb") as file, pylibbpf.open_object(file, engine=engine) as obj:
        assert obj.name == "minimal"
    with path.open() as text, pytest.raises((TypeError, UnicodeDecodeError)):
        pylibbpf.open_object(text, engine=engine)
    with pytest.raises(TypeError, match="int"):
        pylibbpf.open_object(5, engine=engine)
    with pytest.raises(FileNotFoundError):
        pylibbpf.open_object(path.with_name("nothing.bpf.o"), engine=engine)


def test_a_part_of_an_object(engine, objects):
    """It says what is to be done, and not only that the kernel has no such thing."""
    path = objects / "link_main.bpf.o"
    with pytest.raises(pylibbpf.ElfError, match=r"link_main.*link_objects"):
        pylibbpf.open_object(path, engine=engine)
    parts = [path, objects / "link_store.bpf.o"]
    with pylibbpf.open_object(pylibbpf.link_objects(parts), engine=engine, name="both") as obj:
        assert sorted(obj.programs) == ["first", "second"]


def test_programs(open_test_object):
    obj = open_test_object("attach")
    raw = obj.programs["raw"]
    assert raw.section == "raw_tp/sys_enter"
    assert raw.type is pylibbpf.ProgType.RAW_TRACEPOINT
    assert raw.autoload
    assert raw.attaches_itself
    assert not obj.programs["unhooked"].attaches_itself
    assert len(raw.instructions()) % 8 == 0
    with pytest.raises(KeyError, match="did you mean raw"):
        obj.programs["rwa"]
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        _ = raw.fd


def test_edit_before_load(open_test_object):
    obj = open_test_object("attach")
    obj.programs["raw"].autoload = False
    obj.maps["events"].max_entries = 1 << 13
    obj.load()
    assert obj.loaded
    with pytest.raises(pylibbpf.BpfError):
        _ = obj.programs["raw"].fd
    assert obj.programs["unhooked"].fd > 0
    assert obj.maps["events"].max_entries == 1 << 13
    with pytest.raises(pylibbpf.BpfError, match="loaded already"):
        obj.load()


def test_pinned_map_is_found_again(open_test_object, pins):
    path = f"{pins}/counts"
    first = open_test_object("maps")
    first.maps["hash"].pin_path = path
    assert first.maps["hash"].pin_path == path
    first.load()
    first.map("hash")[1] = 11
    first.close()
    second = open_test_object("maps")
    second.maps["hash"].pin_path = path
    second.load()
    assert second.map("hash")[1] == 11


def test_relocation_against_a_given_btf(open_test_object):
    obj = open_test_object("core", btf_custom_path="/sys/kernel/btf/vmlinux")
    obj.load()
    with pytest.raises(FileNotFoundError, match=r"nothing\.btf"):
        open_test_object("core", btf_custom_path="/nothing.btf")


def test_what_libbpf_says_goes_to_logging(open_test_object, caplog, capfd):
    caplog.set_level("DEBUG", logger="pylibbpf")
    open_test_object("maps").load()
    said = [record.getMessage() for record in caplog.records if record.name == "pylibbpf"]
    assert any("created successfully" in message for message in said)
    assert capfd.readouterr() == ("", "")


def test_program_type_can_be_changed(open_test_object):
    obj = open_test_object("testrun")
    program = obj.programs["length"]
    assert program.type is pylibbpf.ProgType.SOCKET_FILTER
    program.type = pylibbpf.ProgType.SCHED_CLS
    obj.load()
    assert program.type is pylibbpf.ProgType.SCHED_CLS


def test_reading_types_before_load_changes_nothing(open_test_object):
    """Globals are read by the object's BTF, which libbpf changes at load: it must load its own."""
    obj = open_test_object("hidden")
    obj.globals["wanted"] = 7
    if not privileged():
        with pytest.raises(pylibbpf.BpfPermissionError, match="CAP_SYS_ADMIN"):
            obj.load()
        return
    obj.load()
    assert obj.programs["run"].test_run(ctx=bytes(40)).retval == 0
    assert obj.globals["found"] == 7


def test_ring_size_is_rounded_up(open_test_object):
    obj = open_test_object("ring")
    obj.maps["events"].max_entries = 5000
    assert obj.maps["events"].max_entries == 8192


def test_refused_map_is_named(open_test_object):
    obj = open_test_object("maps")
    obj.maps["hash"].max_entries = 0
    with pytest.raises(pylibbpf.BpfError, match="max_entries") as caught:
        obj.load()
    assert (caught.value.operation, caught.value.object) == ("create map", "hash")
    assert caught.value.errno == errno.EINVAL


def test_test_run(load_test_object, run):
    obj = load_test_object("testrun")
    assert run(obj, "raw_add", 40, 2) == 42
    added = obj.programs["add"].test_run(ctx=bytes([1] + [0] * 7 + [2] + [0] * 15))
    assert added.retval == 7
    assert added.ctx_out[16:] == bytes([3] + [0] * 7)
    passed = obj.programs["even"].test_run(data=bytes([4] * 64))
    assert passed.retval == 2
    assert passed.data_out == b"\xff" + bytes([4] * 63)
    assert obj.programs["even"].test_run(data=bytes([5] * 64)).retval == 1
    many = obj.programs["even"].test_run(data=bytes([5] * 64), repeat=1000)
    assert many.duration_ns >= 0
    assert obj.programs["length"].test_run(data=bytes(100)).retval == 100 - 14


def test_attach_and_detach(load_test_object):
    obj = load_test_object("attach")
    done = obj.attach(skip=["getpgid"])
    (link,) = done.links
    assert done.failures == {}
    assert link.name == "raw"
    before = obj.globals["raw_calls"]
    os.getppid()
    assert obj.globals["raw_calls"] > before
    with link:
        assert not link.closed
    assert link.closed
    link.close()
    after = obj.globals["raw_calls"]
    os.getppid()
    assert obj.globals["raw_calls"] == after
    with pytest.raises(pylibbpf.ClosedError):
        _ = link.fd


def test_link_dies_with_its_object(load_test_object):
    obj = load_test_object("attach")
    link = obj.programs["raw"].attach()
    obj.close()
    assert link.closed
    link.close()


def test_attach_failure_detaches_all(load_test_object):
    obj = load_test_object("missing_hooks")
    with pytest.raises(pylibbpf.AttachError) as caught:
        obj.attach()
    assert set(caught.value.failures) == {"missing_tracepoint", "missing_raw"}
    assert "missing_raw" in str(caught.value)
    assert obj._links == {}
    done = obj.attach(strict=False)
    assert set(done.failures) == {"missing_tracepoint", "missing_raw"}
    assert {link.name for link in done.links} == {"first", "last"}


def test_attach_without_a_target(load_test_object):
    obj = load_test_object("attach")
    with pytest.raises(pylibbpf.BpfError):
        obj.programs["unhooked"].attach()


def test_rejected_program(open_test_object):
    obj = open_test_object("rejected")
    with pytest.raises(pylibbpf.VerifierError) as caught:
        obj.load()
    error = caught.value
    assert str(error).startswith("R0 invalid mem access 'map_value_or_null'")
    assert error.object == "null_value"
    assert "may be NULL" in str(error)
    # Linux 6.9 began to write file and line into its log.
    assert ("rejected.bpf.c" in str(error)) == ("@ rejected.bpf.c:" in error.log)
    assert "processed" in error.log
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is pylibbpf.VerifierError
    assert (again.log, again.errno, str(again)) == (error.log, error.errno, str(error))


def test_long_log_is_whole(open_test_object):
    obj = open_test_object("rejected")
    obj.programs["null_value"].autoload = False
    obj.programs["long_log"].autoload = True
    with pytest.raises(pylibbpf.VerifierError) as caught:
        obj.load()
    assert len(caught.value.log) > 1 << 20
    assert caught.value.log.rstrip().splitlines()[-1].startswith("processed")
    assert "map_value_or_null" in str(caught.value).splitlines()[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\n" * 20, "not an ELF"),
        (b"\x7fELF", "truncated"),
    ],
)
def test_not_an_object(engine, data, message):
    with pytest.raises(pylibbpf.ElfError, match=message):
        pylibbpf.open_object(data, engine=engine)


def test_truncated_anywhere(engine, objects):
    whole = (objects / "globals.bpf.o").read_bytes()
    for size in range(0, len(whole), 97):
        with pytest.raises(pylibbpf.ElfError):
            pylibbpf.open_object(whole[:size], engine=engine)


def test_other_machines(engine, objects):
    whole = bytearray((objects / "minimal.bpf.o").read_bytes())
    native = bytes(whole)
    whole[18:20] = (62).to_bytes(2, "little")
    with pytest.raises(pylibbpf.ElfError, match="x86-64"):
        pylibbpf.open_object(whole, engine=engine)
    whole[:] = native
    whole[5], whole[18:20] = 2, (247).to_bytes(2, "big")
    with pytest.raises(pylibbpf.ElfError, match="big-endian"):
        pylibbpf.open_object(whole, engine=engine)
    whole[:] = native
    whole[4] = 1
    with pytest.raises(pylibbpf.ElfError, match="64-bit"):
        pylibbpf.open_object(whole, engine=engine)


def test_missing_btf(engine, objects):
    whole = (objects / "maps.bpf.o").read_bytes()
    without = whole.replace(b"\0.BTF\0", b"\0.XTF\0")
    with pytest.raises(pylibbpf.BtfError, match=r"\.BTF|type information"):
        pylibbpf.open_object(without, engine=engine)


def test_damaged_btf(engine, objects):
    whole = bytearray((objects / "maps.bpf.o").read_bytes())
    at = whole.index(b"\x9f\xeb\x01\x00")
    whole[at] ^= 0xFF
    with pytest.raises((pylibbpf.BtfError, pylibbpf.ElfError)):
        pylibbpf.open_object(whole, engine=engine)


def test_closed_object(load_test_object):
    obj = load_test_object("maps")
    m = obj.map("hash")
    program = next(iter(obj.programs.values()))
    obj.close()
    obj.close()
    assert obj.closed
    for use in (
        obj.load,
        obj.attach,
        lambda: m[1],
        lambda: m.max_entries,
        lambda: program.fd,
        lambda: program.autoload,
        lambda: obj.globals["runs"] if "runs" in obj.globals else obj.load(),
        lambda: obj.ringbuf("hash"),
        lambda: list(m.items()),
    ):
        with pytest.raises(pylibbpf.ClosedError, match="closed"):
            use()


def test_several_threads_load(open_test_object):
    obj = open_test_object("maps")
    barrier = threading.Barrier(4)
    said = []

    def load():
        barrier.wait()
        try:
            obj.load()
            said.append("loaded")
        except pylibbpf.BpfError as error:
            said.append(error.cause)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(said) == ["loaded"] + ["the object is loaded already"] * 3


def test_failed_load_is_final(open_test_object):
    obj = open_test_object("rejected")
    with pytest.raises(pylibbpf.VerifierError):
        obj.load()
    with pytest.raises(pylibbpf.BpfError, match="open it again"):
        obj.load()
    with pytest.raises(pylibbpf.BpfError, match="open it again"):
        obj.attach()
    with pytest.raises(pylibbpf.BpfError, match="load failed"):
        obj.map("counts")[1]


def test_attach_needs_load(open_test_object):
    obj = open_test_object("attach")
    for attach in (obj.attach, obj.programs["raw"].attach):
        with pytest.raises(pylibbpf.BpfError, match="not loaded yet"):
            attach()


def test_interrupted_close_can_be_finished(engine, objects):
    """A signal handler's exception at any point of close(): the next close() does the rest."""

    class Interrupted(Exception):
        pass

    def interrupt(number, frame):
        raise Interrupted

    gc.collect()  # what other tests left is not ours
    gc.collect()  # what tests before left to it
    before = len(os.listdir("/proc/self/fd"))
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(60):
            obj = pylibbpf.open_object(objects / "attach.bpf.o", engine=engine)
            obj.load()
            obj.attach()
            obj.ringbuf("events")
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + turn * 30))
                obj.close()
                # A signal between a pause() and the instruction before it would be waited for.
                for _ in range(1000):
                    time.sleep(0.01)
            except Interrupted:
                pass
            obj.close()
    finally:
        signal.signal(signal.SIGALRM, previous)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_to_copy_or_pickle(load_test_object):
    obj = load_test_object("attach")
    things = [obj, obj.maps["events"], obj.programs["raw"], obj.ringbuf("events")]
    things.append(obj.programs["raw"].attach())
    for thing in things:
        for use in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be"):
                use(thing)
    assert not obj.closed


def test_a_dot_in_the_name(engine, objects):
    with pylibbpf.open_object(objects / "globals.bpf.o", engine=engine, name="my.obj") as obj:
        assert obj.globals["limit"] == 10
        assert ".rodata" in obj.maps


def test_changed_size_makes_bytes(open_test_object):
    obj = open_test_object("maps")
    obj.maps["hash"].value_size = 16
    obj.load()
    m = obj.map("hash")
    m[1] = bytes(range(16))
    assert m[1] == bytes(range(16))


@pytest.mark.parametrize(
    "options",
    [{"engine": 5}, {"name": 5}, {"kconfig": 5}, {"pin_root_path": 5}, {"btf_custom_path": 5.0}],
)
def test_wrong_options(objects, options):
    with pytest.raises(TypeError):
        pylibbpf.open_object(objects / "minimal.bpf.o", **options)


def test_given_btf_is_none(objects):
    with pytest.raises(pylibbpf.BtfError, match="neither BTF nor an ELF file"):
        pylibbpf.open_object(objects / "core.bpf.o", btf_custom_path=__file__)


def test_forgotten_object_warns(engine, objects):
    obj = pylibbpf.open_object(objects / "attach.bpf.o", engine=engine)
    obj.load()
    obj.attach(skip=["getpgid"])
    with pytest.warns(ResourceWarning, match="unclosed"):
        obj.__del__()
    assert obj.closed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del obj


def test_unknown_engine(objects):
    with pytest.raises(pylibbpf.NotSupportedError, match="kernel"):
        pylibbpf.open_object(objects / "minimal.bpf.o", engine="no such")
