"""The pytest plugin: tests marked ``bpf_guest`` run in throwaway VMs, on kernels of your choice.

Every pytest that finds this package installed imports this file, so it does and imports little;
what a session with marked tests needs is imported then.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibbpf.guest.mark import Needs

MARK = "bpf_guest"
DEFAULT = "6.12"  # pylibbpf.guest.kernels.DEFAULT, which is not imported for this
MODES = ("auto", "require", "off")

# By which each marked test is made once for each kernel.
_FIXTURE = "_bpf_kernel"
_needs: pytest.StashKey[Needs] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bpf guests", "tests marked bpf_guest, run in throwaway VMs (pylibbpf)")
    group.addoption(
        "--bpf-kernels",
        metavar="NAMES",
        help=f"the kernels to run them on, such as 6.1,6.12,7.2 (ini: bpf_kernels; default: "
        f"{DEFAULT})",
    )
    group.addoption(
        "--bpf-guests",
        choices=MODES,
        default="auto",
        help="auto: skip them where this host cannot boot guests; require: then fail; "
        "off: skip them (default: auto)",
    )
    parser.addini(
        "bpf_kernels", "kernels to run tests marked bpf_guest on", type="args", default=[]
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f'{MARK}(kernel=">=6.6", features=["kprobe_multi"]): run the test in a throwaway VM '
        "(pylibbpf), on each kernel of --bpf-kernels that has what it needs",
    )


def kernels(config: pytest.Config) -> list[str]:
    """The kernels to run marked tests on: in a guest, its own."""
    here = os.environ.get("PYLIBBPF_GUEST")
    if here:
        return [here]
    given: str | None = config.getoption("--bpf-kernels")
    words: Iterable[str] = [given] if given is not None else config.getini("bpf_kernels")
    names = [name.strip() for word in words for name in word.split(",")]
    found = list(dict.fromkeys(name for name in names if name))
    if given is not None and not found:
        raise pytest.UsageError("--bpf-kernels names no kernel: give names such as 6.1,6.12,7.2")
    return found or [DEFAULT]


@pytest.fixture(name=_FIXTURE)
def _bpf_kernel(request: pytest.FixtureRequest) -> str:
    """The name of the kernel that a marked test runs on."""
    name: str = request.param
    return name


@pytest.hookimpl(trylast=True)  # so that the kernel comes last in the test's id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker(MARK) is None:
        return
    names = kernels(metafunc.config)
    metafunc.fixturenames.append(_FIXTURE)
    ids = [os.path.basename(name) for name in names]
    metafunc.parametrize(_FIXTURE, names, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)  # of those that were selected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker(MARK) is not None]
    if marked:
        _check(marked)


def _check(marked: list[pytest.Item]) -> None:
    """Read the marks.

    Raises:
        pytest.UsageError: one has other arguments than it may have.
    """
    from pylibbpf.guest.mark import MarkError, needs

    wrong = []
    for item in marked:
        mark = item.get_closest_marker(MARK)
        assert mark is not None
        try:
            item.stash[_needs] = needs(mark.args, mark.kwargs)
        except MarkError as error:
            wrong.append(f"{item.nodeid}: {MARK} {error}")
    if wrong:
        raise pytest.UsageError(*wrong)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker(MARK) is None:
        return
    here = os.environ.get("PYLIBBPF_GUEST")
    if not here:
        name = kernels(item.config)[0]
        pytest.skip(
            "this version boots no guests from pytest yet: run pytest in one, "
            f"pylibbpf vm run --kernel {name} -- python -m pytest ..."
        )
    needed = item.stash.get(_needs, None)
    refusal = needed.refusal(os.uname().release) if needed is not None else None
    if refusal is not None:
        pytest.skip(refusal)
