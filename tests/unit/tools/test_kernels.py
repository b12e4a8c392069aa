"""The tables of docs/kernels.md: the same results, the same text."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

ROOT = Path(__file__).parents[3]
KERNELS = {
    "6.1": "6.1.0-50-amd64 (Debian 6.1.176-1)",
    "7.2": "7.2.13+deb14-amd64 (Debian 7.2.13-1)",
}


@pytest.fixture
def tool(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("kernels")


OLD = "tcx needs Linux 6.6: this kernel is 6.1.0. Instead: tc"
ROWS = [
    ("7.2", "tcx", "net", "root", "yes"),
    ("6.1", "tcx", "net", "root", OLD),
    ("6.1", "kprobe", "tracing", "root", "yes"),
    ("7.2", "kprobe", "tracing", "root", "yes"),
    ("7.2", "kprobe", "tracing", "lockdown", "the kernel is locked down | see doctor"),
    ("7.2", "token", "tracing", "root", "CAP_SYS_ADMIN\nor /usr/lib/libbpf.so.1.1.2"),
    ("6.1", "tcx", "net", "service", OLD),
]
TABLES = r"""<!-- libbpf 1.4.6: written by tools/kernels.py -->
## With libbpf 1.4.6

Kernels: 6.1: 6.1.0-50-amd64 (Debian 6.1.176-1); 7.2: 7.2.13+deb14-amd64 (Debian 7.2.13-1).

### As root

| | 6.1 | 7.2 |
|---|---|---|
| **tracing** | | |
| kprobe | yes | yes |
| **net** | | |
| tcx | Linux 6.6 (1) | yes |
| **tracing** | | |
| token | - | CAP_SYS_ADMIN (2) |

### As a service with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN only

| | 6.1 | 7.2 |
|---|---|---|
| **net** | | |
| tcx | Linux 6.6 (1) | - |

### As root, the kernel locked down (confidentiality)

| | 6.1 | 7.2 |
|---|---|---|
| **tracing** | | |
| kprobe | - | locked down (3) |

What the errors say:

1. tcx needs Linux 6.6: this kernel is 6.1.0. Instead: tc
2. CAP\_SYS\_ADMIN or libbpf.so
3. the kernel is locked down \| see doctor
<!-- end of libbpf 1.4.6 -->
"""
ORDER = ["kprobe", "tcx", "token"]


def test_tables(tool):
    results = [tool.Result(*row) for row in ROWS]
    assert tool.section(results, "1.4.6", KERNELS, ORDER) == TABLES
    assert tool.section(results[::-1], "1.4.6", KERNELS, ORDER) == TABLES  # whatever ran first


def test_two_results_of_one_row(tool):
    results = [tool.Result(*ROWS[0]), tool.Result(*ROWS[0][:4], "no")]
    with pytest.raises(tool.Stop, match=r"tcx \(root\) has two results on 7.2"):
        tool.section(results, "1.4.6", KERNELS, ORDER)


def test_no_results(tool):
    with pytest.raises(tool.Stop, match="no test recorded a row"):
        tool.section([], "1.4.6", KERNELS, ORDER)


def test_sections_stay_in_order_and_the_rest_as_it_is(tool):
    def part(version, text):
        return f"{tool.begin(version)}\n{text}\n{tool.end(version)}\n"

    before = "# Title\n\nWords.\n\n"
    one = tool.replaced(before, "1.4.6", part("1.4.6", "four"))
    assert one == before + part("1.4.6", "four")
    two = tool.replaced(one, "1.10.0", part("1.10.0", "ten"))
    three = tool.replaced(two, "1.1.2", part("1.1.2", "one"))
    parts = [part("1.1.2", "one"), part("1.4.6", "four"), part("1.10.0", "ten")]
    assert three == before + "\n".join(parts)
    assert tool.replaced(three, "1.4.6", part("1.4.6", "four")) == three
    behind = three + "\nWords behind.\n"
    assert tool.replaced(behind, "1.4.6", part("1.4.6", "new")) == behind.replace("four", "new")


def test_results_are_read_from_a_report_of_pytest(tool):
    names = ("kernel", "row", "group", "situation", "result")
    properties = "".join(
        f'<property name="row" value={quoteattr(json.dumps(dict(zip(names, row, strict=True))))}/>'
        for row in ROWS
    )
    report = (
        "<testsuites><testsuite><testcase><properties>"
        f'<property name="other" value="1"/>{properties}'
        "</properties></testcase><testcase/></testsuite></testsuites>"
    )
    assert [tuple(getattr(one, name) for name in names) for one in tool.read(report)] == ROWS


def test_the_version_of_a_library_is_that_of_its_file(tool, tmp_path):
    (tmp_path / "libbpf.so.1.4.6").touch()
    (tmp_path / "libbpf.so.1").symlink_to("libbpf.so.1.4.6")
    assert tool.version_of(str(tmp_path / "libbpf.so.1")) == "1.4.6"
    (tmp_path / "mine.so").touch()
    with pytest.raises(tool.Stop, match="does not say which version"):
        tool.version_of(str(tmp_path / "mine.so"))
