"""halab's pytest plug-in: labs as fixtures, and a failed test's report with what was measured.

pytest imports this module in every run of everybody who has halab installed. So it imports nothing
but pytest: all else is imported when a test asks for a lab, or a marker or option is judged.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from lab.testing.lab import HalabLab
    from lab.testing.spec import LabSpec

MARKER = "halab"
LAB, FRESH = "halab_lab", "halab_fresh_lab"
HELP = (
    "halab(topology=…, distribution=…, set={…}, keep=…): which lab the test's halab_lab or "
    "halab_fresh_lab is; set={'ha.token': '400ms'} changes values of the topology."
)
MEASURED = pytest.StashKey[int]()
"""Of an item: how much was measured on the session's lab before this try."""
FAILED = pytest.StashKey[bool]()
WRONG = pytest.StashKey[str]()
"""Of an item: what is wrong with its marker."""
KEPT = pytest.StashKey[set[str]]()
"""Of the session: names of labs that are left running."""
KEEP = pytest.StashKey[set["LabSpec"]]()
"""Of the session: what the markers with keep=True ask for."""
CURRENT = pytest.StashKey["HalabLab"]()
"""Of the session: the lab that tests share now."""
OF_OPTIONS = ("topology", "distribution")
"""What options say of labs whose marker does not."""
REPORT_LINES = 40
"""Of a run's report in a failed test's: verdicts and figures; the rest is in the folder."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add halab's options."""
    group = parser.getgroup("halab", "highly available Kubernetes labs (halab)")
    group.addoption(
        "--halab-topology",
        default="",
        metavar="NAME|FILE",
        help="The lab of tests whose marker names none; 3m3w by default.",
    )
    group.addoption(
        "--halab-distribution",
        default="",
        metavar="NAME",
        help="What the labs of tests run whose marker names no distribution: k3s or upstream.",
    )
    group.addoption(
        "--halab-keep", action="store_true", help="Leave the labs running when the tests are over."
    )
    group.addoption(
        "--halab-reuse",
        default="",
        metavar="LAB",
        help="Use this lab for halab_lab, and start it where there is none; it is left running. "
        "Several pytest processes take turns on it.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and judge the options."""
    config.addinivalue_line("markers", HELP)
    config.stash[KEPT], config.stash[KEEP] = set(), set()
    if reuse := config.getoption("halab_reuse"):
        from lab.base.names import check_name

        with _usage("--halab-reuse"):
            check_name(reuse)
    for key in OF_OPTIONS:
        if value := config.getoption(f"halab_{key}"):
            from lab.testing.spec import read

            with _usage(f"--halab-{key}"):
                read({key: value})


@contextlib.contextmanager
def _usage(what: str) -> Iterator[None]:
    """Turn an error of the user's into pytest's own, which is shown without a traceback."""
    from lab.base.errors import LabError

    try:
        yield
    except LabError as error:
        raise pytest.UsageError(f"{what}: {error}") from None


# --- which lab a test wants ---


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give marked tests the shared lab that they ask for; equal specs share one lab.

    A parameter of the session's scope lets pytest group such tests, and end one lab before the
    next. What is wrong with a marker is reported once all tests are collected.
    """
    marker = metafunc.definition.get_closest_marker(MARKER)
    if LAB not in metafunc.fixturenames or marker is None:
        return
    with contextlib.suppress(pytest.UsageError):
        spec = _marked(metafunc.definition, metafunc.config)
        metafunc.parametrize(LAB, [spec], indirect=True, scope="session", ids=[_id(spec)])


def _id(spec: LabSpec) -> str:
    """Return what a test's name ends with, such as `1m1w-ha.token=400ms`."""
    topology = spec.topology.rpartition("/")[2].rpartition(".y")
    parts = (topology[0] or topology[2], spec.distribution, *spec.overrides)
    return "-".join(part for part in parts if part)


def _of_options(config: pytest.Config) -> LabSpec:
    """Return what labs are where neither marker nor fixture says otherwise."""
    from lab.testing.spec import DEFAULT, LabSpec

    said = {key: config.getoption(f"halab_{key}") for key in OF_OPTIONS}
    return LabSpec(**said, keep=bool(config.getoption("halab_keep"))).or_else(DEFAULT)


def _marked(item: pytest.Item | pytest.Function, config: pytest.Config) -> LabSpec:
    """Return what an item's marker says. Raises UsageError that names the item."""
    from lab.testing.spec import LabSpec, read

    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return LabSpec()
    what = f"{item.nodeid}: @pytest.mark.{MARKER}"
    if marker.args:
        raise pytest.UsageError(f"{what}: its arguments have names: {HELP.partition(':')[0]}")
    with _usage(what):
        return read(marker.kwargs, item.path.parent, _of_options(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Judge every marker before the first lab is started."""
    for item in items:
        if item.get_closest_marker(MARKER):
            try:
                spec = _marked(item, config)
                config.stash[KEEP].update([spec] if spec.keep else [])
            except pytest.UsageError as error:
                if not hasattr(config, "workerinput"):
                    raise
                # pytest-xdist calls a worker that ends so early a bug: here the test fails.
                item.stash[WRONG] = str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a try, of which pytest-rerunfailures may make several; fail one with a bad marker."""
    current = item.config.stash.get(CURRENT, None)
    item.stash[MEASURED] = len(current.measurements) if current else 0
    item.stash[FAILED] = False
    if wrong := item.stash.get(WRONG, ""):
        pytest.fail(wrong, pytrace=False)


# --- fixtures ---


@pytest.fixture(scope="session")
def halab_defaults() -> Mapping[str, object]:
    """What a test's lab is where its marker does not say: a marker's arguments, as a dict.

    Override it in a conftest.py, for values that all labs of a project have. A relative path of a
    topology starts from pytest's root folder.
    """
    return {}


@pytest.fixture(scope="session")
def halab_lab(
    request: pytest.FixtureRequest, halab_defaults: Mapping[str, object]
) -> Iterator[HalabLab]:
    """A lab that tests share: as the marker asks for, or options and `halab_defaults` say.

    Its faults are healed when their block ends, and it is whole again after a test that failed.
    """
    from lab.testing.spec import LabSpec

    config = request.config
    spec = getattr(request, "param", LabSpec())  # without a parameter: the test has no marker
    reuse = config.getoption("halab_reuse")
    default = _read_defaults(config, halab_defaults)
    lab = _shared_lab(reuse, spec, default) if reuse else _own_lab(config, spec, default)
    with _started(config, lab):
        config.stash[CURRENT] = lab
        try:
            yield lab
        finally:
            del config.stash[CURRENT]


@pytest.fixture
def halab_fresh_lab(
    request: pytest.FixtureRequest, halab_defaults: Mapping[str, object]
) -> Iterator[HalabLab]:
    """A lab for one test alone: started for it, removed after it."""
    spec = _marked(request.node, request.config)
    default = _read_defaults(request.config, halab_defaults)
    lab = _own_lab(request.config, spec, default)
    with _started(request.config, lab):
        yield lab


def _read_defaults(config: pytest.Config, given: Mapping[str, object]) -> LabSpec:
    """Return what `halab_defaults` says; where it says nothing, what options say."""
    from lab.base.errors import LabError
    from lab.testing.spec import read

    options = _of_options(config)
    try:
        return read(given, config.rootpath, options).or_else(options)
    except LabError as error:
        pytest.fail(f"the fixture halab_defaults: {error}", pytrace=False)


def _own_lab(config: pytest.Config, spec: LabSpec, default: LabSpec) -> HalabLab:
    from dataclasses import replace

    from lab.testing.lab import HalabLab

    whole = spec.or_else(default)
    lab = HalabLab()
    lab.spec = replace(whole, keep=whole.keep or spec in config.stash[KEEP])
    return lab


def _shared_lab(name: str, spec: LabSpec, default: LabSpec) -> HalabLab:
    from lab.testing.lab import HalabLab

    return HalabLab.attach(name, spec, default)


@contextlib.contextmanager
def _started(config: pytest.Config, lab: HalabLab) -> Iterator[None]:
    """Start a lab, and stop it after the block; halab's own errors come without a traceback."""
    with _without_traceback():
        lab.start()
    name = lab.name
    try:
        yield
    finally:
        if lab.kept:
            config.stash[KEPT].add(name)
        with _without_traceback():
            lab.stop()


@contextlib.contextmanager
def _without_traceback() -> Iterator[None]:
    from lab.base.errors import LabError

    try:
        yield
    except LabError as error:
        raise pytest.fail.Exception(f"halab: {error}", pytrace=False) from None


# --- around a test ---


def _uses(item: pytest.Item, fixture: str) -> bool:
    return fixture in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a lab that several processes share for one whole test, set-up and teardown included.

    This wrapper comes first: waiting for the others does not count for pytest-timeout.
    """
    reuse = item.config.getoption("halab_reuse")
    if not (reuse and _uses(item, LAB)):
        return (yield)
    with contextlib.ExitStack() as turn:
        _take_turn(turn, reuse, item.config)
        return (yield)


def _take_turn(turn: contextlib.ExitStack, name: str, config: pytest.Config) -> None:
    from lab.base.errors import LabError
    from lab.testing.sessions import shared

    try:
        turn.enter_context(shared(name, lambda text: _write_line(config, f"halab: {text}")))
    except LabError as error:
        pytest.exit(f"halab: {error}", returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed test's report what was measured in it, and where everything is."""
    report = yield
    if report.failed and (_uses(item, LAB) or _uses(item, FRESH)):
        item.stash[FAILED] = True
        for lab, before in _labs_of(item):
            _attach(report, item, lab, before)
    return report


def _labs_of(item: pytest.Item) -> list[tuple[HalabLab, int]]:
    """Return the item's labs that are up, each with how much was measured on it before."""
    own: dict[str, Any] = getattr(item, "funcargs", None) or {}
    counted = ((own.get(LAB), item.stash.get(MEASURED, 0)), (own.get(FRESH), 0))
    return [(lab, before) for lab, before in counted if lab is not None]


def _attach(report: pytest.TestReport, item: pytest.Item, lab: HalabLab, before: int) -> None:
    """Add a lab's measurements to a report; their folders become properties in JUnit's XML."""
    measured = lab.measurements[before:]
    for measurement in measured:
        folder = measurement.folder
        row = ("halab_run", str(folder))
        if row not in item.user_properties:
            item.user_properties.append(row)  # the XML has those of the test's end
        lines = [f"run: {folder}", *(f"  {name}" for name in measurement.files)]
        report.sections.append(("halab: what was measured", "\n".join([*lines, _text(folder)])))
    if not measured and lab.started:
        hint = f"nothing was measured; --halab-keep leaves it running for `halab export {lab.name}`"
        report.sections.append((f"halab: lab {lab.name}", hint))


def _text(folder: Any) -> str:  # noqa: ANN401 (a Path)
    """Return the beginning of a run's report; empty where it was not written."""
    try:
        lines = (folder / "report.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return "\n".join(["", *lines[:REPORT_LINES]])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """After a test that failed, hand the next one a whole lab: one defect is one failure."""
    result = yield
    lab = (getattr(item, "funcargs", None) or {}).get(LAB)
    if item.stash.get(FAILED, False) and lab is not None and lab.started:
        with _without_traceback():
            lab.make_whole()
    return result


def _write_line(config: pytest.Config, line: str) -> None:
    """Tell whoever watches the tests. A worker of pytest-xdist has no terminal."""
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        terminal.ensure_newline()
        terminal.write_line(line)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the labs that are left running."""
    for name in sorted(config.stash.get(KEPT, ())):
        terminalreporter.write_line(f"halab: lab {name} still runs; `halab destroy {name}` ends it")
