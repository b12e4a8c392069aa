"""The pytest plugin: tests marked ``bpf_guest`` run in throwaway VMs, on kernels of your choice.

Every pytest that finds this package installed imports this file, so it does and imports little;
what a session with marked tests needs is imported then.
"""

from __future__ import annotations

import functools
import os
import sys

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from typing import Any, NoReturn

    from pylibbpf.guest.mark import Needs
    from pylibbpf.guest.testing.fleet import Fleet
    from pylibbpf.guest.testing.run import Terms
    from pylibbpf.guest.testing.workers import Server

MARK = "bpf_guest"
DEFAULT = "6.12"  # pylibbpf.guest.kernels.DEFAULT, which is not imported for this
MODES = ("auto", "require", "off")
TIMEOUT = 300.0

# By which each marked test is made once for each kernel.
_FIXTURE = "_bpf_kernel"

_needs: pytest.StashKey[Needs] = pytest.StashKey()
_kernel: pytest.StashKey[str] = pytest.StashKey()  # of a test that pytest cannot parametrize
_wrong: pytest.StashKey[str] = pytest.StashKey()  # a usage error that is told with the test
_start: pytest.StashKey[dict[str, Any]] = pytest.StashKey()  # of orders.Start
_server: pytest.StashKey[Server] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    _no_rewriting(pluginmanager)
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
        help="auto: skip them where this host cannot boot guests; require: then fail; "
        "off: skip them (default: auto)",
    )
    parser.addini(
        "bpf_kernels", "kernels to run tests marked bpf_guest on", type="args", default=[]
    )
    parser.addini(
        "bpf_guest_timeout",
        f"seconds that a test may take in a guest (default: {TIMEOUT:g})",
        default=str(TIMEOUT),
    )


def _no_rewriting(pluginmanager: pytest.PytestPluginManager) -> None:
    """Have pytest take this package as it is.

    It rewrites the asserts of each package that brings a plugin, all its modules, and compiles them
    anew where it cannot keep the result: in a guest each time, where that takes twenty times as
    long. No test's asserts stand in them. The set is pytest's own; where it has another name one
    day, all works but is slower.
    """
    marked = getattr(pluginmanager.rewrite_hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard("pylibbpf")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keep how pytest was started, before conftest files change anything."""
    _keep_start(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f'{MARK}(kernel=">=6.6", features=["kprobe_multi"]): run the test in a throwaway VM '
        "(pylibbpf), on each kernel of --bpf-kernels that has what it needs",
    )
    if _start not in config.stash:
        _keep_start(config)  # where a conftest file has loaded this plugin


def _keep_start(config: pytest.Config) -> None:
    config.stash[_start] = {
        "args": tuple(str(each) for each in config.invocation_params.args),
        "folder": str(config.invocation_params.dir),
        "path": tuple(sys.path),
        "environment": dict(os.environ),
    }


# --- what is asked for ---


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


def _id(name: str) -> str:
    """What a kernel is called in the ids of tests: its name in the table, the last of its path."""
    return os.path.basename(os.path.abspath(name))


def mode(config: pytest.Config) -> str:
    """``auto``, ``require`` or ``off``."""
    given: str | None = config.getoption("--bpf-guests")
    return given or "auto"


def timeout(config: pytest.Config) -> float:
    """Seconds for one test."""
    text: str = config.getini("bpf_guest_timeout")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise pytest.UsageError(f"bpf_guest_timeout is {text!r}: give seconds, more than 0")
    return seconds


def _boots(config: pytest.Config) -> bool:
    """Whether this session runs marked tests in guests, or asks another process to."""
    options = config.option
    only_shown = options.collectonly or options.setupplan
    return not (only_shown or os.environ.get("PYLIBBPF_GUEST") or mode(config) == "off")


# --- collection ---


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
    ids = [_id(name) for name in names]
    metafunc.parametrize(_FIXTURE, names, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, object, object]:
    # Before others select by names and ids, each test must have its own.
    if any(item.get_closest_marker(MARK) is not None for item in items):
        items[:] = [each for item in items for each in _for_each_kernel(item)]
    result = yield
    # Of those that are left.
    marked = [item for item in items if item.get_closest_marker(MARK) is not None]
    try:
        if marked:
            _check(marked)
            if _boots(config):
                _hand_over(config, items, marked)
    except pytest.UsageError as error:
        if not hasattr(config, "workerinput"):
            raise
        # A worker of pytest-xdist that does not get to its tests takes the session with it.
        for item in marked:
            item.stash[_wrong] = "\n".join(map(str, error.args))
    return result


def _for_each_kernel(item: pytest.Item) -> list[pytest.Item]:
    """The tests for a marked one that pytest could not parametrize: methods of unittest."""
    if item.get_closest_marker(MARK) is None or _kernel_of(item) is not None:
        return [item]
    if not (isinstance(item, pytest.Function) and hasattr(item.cls, "assertEqual")):
        return [item]
    made: list[pytest.Item] = []
    for number, name in enumerate(kernels(item.config)):
        one = item
        if number:
            one = type(item).from_parent(item.parent, name=item.name, callobj=item.obj)
        if not _suffix(one, _id(name)):
            return [item]
        one.stash[_kernel] = name
        made.append(one)
    return made


def _suffix(item: pytest.Item, kernel: str) -> bool:
    """Let the id of a method of unittest end with its kernel, if this pytest lets us.

    Its name must stay: unittest finds the method by it. The id is pytest's own attribute (a str up
    to pytest 9.1, then a NodeId), as pytest-xdist changes it, too.
    """
    wanted = f"{item.nodeid}[{kernel}]"
    if hasattr(item, "_nodeid"):
        item._nodeid = wanted
    elif hasattr(item, "_id") and hasattr(item._id, "parse"):
        item._id = item._id.parse(wanted)
    return item.nodeid == wanted


def _kernel_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and _FIXTURE in callspec.params:
        name: str = callspec.params[_FIXTURE]
        return name
    return item.stash.get(_kernel, None)


def _check(marked: list[pytest.Item]) -> None:
    """Read the marks, and what belongs to them.

    Raises:
        pytest.UsageError: they, or the options, ask for what cannot be.
    """
    from pylibbpf.guest.mark import MarkError, needs

    wrong = []
    for item in marked:
        mark = item.get_closest_marker(MARK)
        assert mark is not None
        try:
            item.stash[_needs] = needs(mark.args, mark.kwargs)
            _check_features(item.stash[_needs])
        except MarkError as error:
            wrong.append(f"{item.nodeid}: {MARK} {error}")
        if _kernel_of(item) is None:
            wrong.append(
                f"{item.nodeid}: {MARK} must stand on a test function, a class or a module "
                "(pytestmark); set later, or on a set of parameters, it cannot make a test for "
                "each kernel"
            )
    if wrong:
        raise pytest.UsageError(*wrong)


def _check_features(needed: Needs) -> None:
    if not needed.features:
        return
    from pylibbpf.checkup.features import feature
    from pylibbpf.guest.mark import MarkError

    for name in needed.features:
        try:
            feature(name)
        except KeyError as error:
            raise MarkError(f"features={list(needed.features)!r}: {error.args[0]}") from None


def _check_kernels(config: pytest.Config) -> None:
    from pathlib import Path

    from pylibbpf.guest import kernels as known
    from pylibbpf.guest.outcome import GuestError

    table = known.table()
    for name in kernels(config):
        if name in table:
            continue
        if "/" not in name and not os.path.exists(name):
            raise pytest.UsageError(
                f"there is no kernel {name!r}: give names of {', '.join(table)}, or paths "
                "(--bpf-kernels, ini bpf_kernels)"
            )
        try:
            known.at(Path(name))
        except GuestError as error:
            raise pytest.UsageError(f"--bpf-kernels: {error}") from None
    ids = [_id(name) for name in kernels(config)]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise pytest.UsageError(
            f"two kernels end with {twice}, and tests could not be told apart by it: give one of "
            "them another name, by a link (--bpf-kernels, ini bpf_kernels)"
        )


def _hand_over(config: pytest.Config, items: list[pytest.Item], marked: list[pytest.Item]) -> None:
    """Have marked tests run in guests, those of each kernel together, after all others."""
    from pylibbpf.guest.testing.fleet import Owner
    from pylibbpf.guest.testing.host import Place, Taker, place_key
    from pylibbpf.guest.testing.orders import Test, file_of
    from pylibbpf.guest.testing.workers import INPUT, Remote

    if config.option.usepdb or config.option.trace:
        option = "--pdb" if config.option.usepdb else "--trace"
        raise pytest.UsageError(
            f"{option} cannot reach a test in a guest, and {marked[0].nodeid} runs in one: "
            f'leave them out (-m "not {MARK}"), or debug in a guest yourself: '
            f"pylibbpf vm shell --kernel {_kernel_of(marked[0])}, and pytest {option} there"
        )
    _check_kernels(config)
    order = {name: number for number, name in enumerate(kernels(config))}
    for item in marked:
        name = _kernel_of(item)
        assert name is not None
        found = Test(_plain_id(item), file_of(item.path), item.stash[_needs], item.nodeid)
        item.stash[place_key] = Place(name, found)
    items.sort(
        key=lambda item: order[item.stash[place_key].kernel] if place_key in item.stash else -1
    )
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        fleet = _fleet(config, keep=False)
        config.pluginmanager.register(Owner(fleet, mode(config)), "pylibbpf guests")
        config.pluginmanager.register(Taker(fleet), "pylibbpf guest tests")
    else:
        address = workerinput.get(INPUT)
        config.pluginmanager.register(Taker(Remote(address)), "pylibbpf guest tests")


def _plain_id(item: pytest.Item) -> str:
    """The id without the group that pytest-xdist adds to it (--dist loadgroup)."""
    if getattr(item.config.option, "loadgroup", False) and "@" in item.nodeid:
        return item.nodeid.rpartition("@")[0]
    return item.nodeid


def _fleet(config: pytest.Config, *, keep: bool) -> Fleet:
    from pylibbpf.guest.testing.fleet import Fleet

    seconds = timeout(config)

    def terms() -> Terms:
        from pylibbpf.guest.testing.orders import Start
        from pylibbpf.guest.testing.run import Terms

        start = Start(**config.stash[_start], no_coverage=hasattr(config.option, "no_cov"))
        return Terms(
            start=start, require=mode(config) == "require", timeout=seconds, refusal=refusal
        )

    return Fleet(terms, keep=keep)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """pytest-xdist's controller starts a worker: tell it where to ask for guests."""
    from pylibbpf.guest.testing.fleet import Owner
    from pylibbpf.guest.testing.workers import INPUT, Server

    config: pytest.Config = node.config  # type: ignore[attr-defined]  # xdist's WorkerController
    if not _boots(config):
        return
    if _server not in config.stash:
        if config.getoption("--bpf-kernels") is not None:
            _check_kernels(config)
        fleet = _fleet(config, keep=True)
        config.stash[_server] = Server(fleet, config)
        config.add_cleanup(config.stash[_server].close)
        config.pluginmanager.register(Owner(fleet, mode(config)), "pylibbpf guests")
    node.workerinput[INPUT] = config.stash[_server].address  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> str | None:
    if config.getoption("--bpf-kernels") is None and config.getoption("--bpf-guests") is None:
        return None
    return f"bpf guests: {', '.join(kernels(config))} ({mode(config)})"


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    if config.get_verbosity() < 0 or pytest_report_header(config):
        return None  # nobody wants it, or it has been said
    if not any(_kernel_of(item) is not None for item in items):
        return None
    return f"bpf guests: {', '.join(kernels(config))} ({mode(config)})"


# --- tests that run here: in a guest, or not at all ---


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker(MARK) is None or item.config.option.setupplan:
        return
    if _wrong in item.stash:
        pytest.fail(item.stash[_wrong], pytrace=False)
    if not os.environ.get("PYLIBBPF_GUEST"):
        _skip("tests in guests are switched off (--bpf-guests=off)")
    needed = item.stash.get(_needs, None)
    if needed is not None:
        _have(needed)


def _skip(reason: str) -> NoReturn:
    # as pytest's own skips by a mark: what is shown is where the test stands
    raise pytest.skip.Exception(reason, _use_item_location=True)


def _have(needed: Needs) -> None:
    """Skip a test for what the kernel that runs cannot have; fail it for what it should have."""
    reason = needed.refusal(os.uname().release)
    if reason is not None:
        _skip(reason)
    if not needed.features:
        return
    from pylibbpf.checkup.features import feature

    reason = _lacks(needed, os.uname().release, _own_options())
    if reason is not None:
        _skip(reason)
    for name in needed.features:
        found = feature(name).ability()
        if found.works is False:
            pytest.fail(
                f"Linux {os.uname().release} should have {name}, and has not: {found.reason}",
                pytrace=False,
            )


def refusal(needed: Needs, release: str, config: str | None) -> str | None:
    """Why a test cannot run on a kernel of this release, built with this configuration."""
    reason = needed.refusal(release)
    if reason is not None or not needed.features:
        return reason
    return _lacks(needed, release, _options(config) if config is not None else None)


@functools.lru_cache(maxsize=8)  # ten thousand lines, for each test that names features
def _options(config: str) -> Mapping[str, str]:
    from pylibbpf.engine.kernel.config import parse

    return parse(config)


@functools.lru_cache(maxsize=1)
def _own_options() -> Mapping[str, str] | None:
    from pylibbpf.engine.kernel.config import read_config
    from pylibbpf.engine.kernel.host import Host

    config = read_config(Host())
    return config.options if config.source else None


def _lacks(needed: Needs, release: str, options: Mapping[str, str] | None) -> str | None:
    from pylibbpf.checkup.features import feature
    from pylibbpf.guest.mark import version_of

    for name in needed.features:
        reason = feature(name).why_not(version_of(release), options)
        if reason is not None:
            return f"{reason}; this kernel is {release}"
    return None
