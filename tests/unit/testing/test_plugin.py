"""The pytest plug-in, in pytest runs of its own; labs are doubles."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import fake_labs
import pytest

from lab.base import locks
from lab.testing import sessions
from lab.testing.measurement import Measurement

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> fake_labs.FakeLabs:
    return fake_labs.install(monkeypatch)


@pytest.fixture
def run(
    pytester: pytest.Pytester, engine: fake_labs.FakeLabs, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Run a test file with these options, in this process, with no other plug-in."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(f"import pytest\n\n{textwrap.dedent(text)}")
        plugins = ("-p", "lab.testing.plugin", "-p", "no:cacheprovider", "--strict-markers")
        return pytester.runpytest_inprocess(*plugins, *options)

    return run


def test_tests_share_a_lab_that_is_removed_at_the_end(run: Any, engine: Any) -> None:
    result = run("""
        def test_one(halab_lab):
            assert halab_lab.name == "test-3m3w"

        def test_two(halab_lab):
            assert halab_lab.started
    """)
    result.assert_outcomes(passed=2)
    assert engine.log == ["start test-3m3w", "destroy test-3m3w"]
    assert not fake_labs.leave_nothing()


def test_no_lab_is_started_where_no_test_asks_for_one(run: Any, engine: Any) -> None:
    run("def test_one(): pass").assert_outcomes(passed=1)
    assert not engine.log


def test_marked_tests_get_the_lab_that_they_ask_for(run: Any, engine: Any) -> None:
    result = run(
        """
        small = pytest.mark.halab(topology="1m1w", distribution="k3s", set={"ha.token": "400ms"})

        @small
        def test_one(halab_lab):
            assert halab_lab.topology.ha.token_ms == 400

        def test_other(halab_lab):
            assert len(halab_lab.topology.workers) == 2

        @small
        def test_two(halab_lab):
            assert len(halab_lab.topology.workers) == 1
    """,
        "--halab-topology=5m2w",
        "-v",
    )
    result.assert_outcomes(passed=3)
    # The two that ask for the same share it, though another test stands between them.
    assert engine.log == [
        "start test-1m1w k3s",
        "destroy test-1m1w",
        "start test-5m2w",
        "destroy test-5m2w",
    ]
    result.stdout.fnmatch_lines(["*::test_one?1m1w-k3s-ha.token=400ms? PASSED*"])


DEFAULTS = """
    import pytest

    @pytest.fixture(scope="session")
    def halab_defaults():
        return {values}
"""


def test_what_no_marker_says_is_said_by_option_or_fixture(
    run: Any, engine: Any, pytester: pytest.Pytester
) -> None:
    values = {"distribution": "k3s", "set": {"ha.token": "400ms", "ha.fencing": "none"}}
    pytester.makeconftest(textwrap.dedent(DEFAULTS.format(values=values)))
    result = run(
        """
        def test_plain(halab_lab):
            assert (halab_lab.topology.ha.token_ms, halab_lab.topology.name) == (400, "test-5m2w")

        @pytest.mark.halab(topology="1m1w", distribution="upstream", set={"ha.token": "2s"})
        def test_marked(halab_fresh_lab):
            ha = halab_fresh_lab.topology.ha
            assert (ha.token_ms, ha.fencing) == (2000, False)
    """,
        "--halab-topology=5m2w",
        "--halab-distribution=upstream",
    )
    result.assert_outcomes(passed=2)
    assert [line for line in engine.log if line.startswith("start")] == [
        "start test-5m2w k3s",
        "start test-1m1w upstream",
    ]


def test_option_says_what_labs_run(run: Any, engine: Any) -> None:
    run("def test_one(halab_lab): pass", "--halab-distribution=k3s").assert_outcomes(passed=1)
    assert engine.log[0] == "start test-3m3w k3s"


def test_defaults_that_are_wrong_are_an_error_without_a_traceback(
    run: Any, engine: Any, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(textwrap.dedent(DEFAULTS.format(values={"sets": {}})))
    result = run("def test_one(halab_lab): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["the fixture halab_defaults: no argument `sets`*"])
    assert not engine.log


def test_fresh_lab_is_for_one_test(run: Any, engine: Any) -> None:
    result = run("""
        pytestmark = pytest.mark.halab(topology="1m1w")

        def test_one(halab_fresh_lab, halab_lab):
            assert halab_fresh_lab.name != halab_lab.name

        def test_two(halab_fresh_lab):
            pass
    """)
    result.assert_outcomes(passed=2)
    assert len(engine.started()) == 3
    assert len([line for line in engine.log if line.startswith("destroy")]) == 3


@pytest.mark.parametrize("how", ["option", "marker"])
def test_kept_lab_is_named_at_the_end(run: Any, engine: Any, how: str) -> None:
    mark = "@pytest.mark.halab(topology='1m1w', keep=True)" if how == "marker" else ""
    options = ("--halab-keep", "--halab-topology=1m1w") if how == "option" else ()
    result = run(f"{mark}\ndef test_one(halab_lab): pass", *options)
    result.assert_outcomes(passed=1)
    assert engine.log == ["start test-1m1w"]
    result.stdout.fnmatch_lines(["halab: lab test-1m1w still runs; `halab destroy test-1m1w`*"])


def test_lab_is_kept_if_one_of_its_tests_asks_for_it(run: Any, engine: Any) -> None:
    result = run("""
        @pytest.mark.halab(topology="1m1w")
        def test_one(halab_lab): pass

        @pytest.mark.halab(topology="1m1w", keep=True)
        def test_two(halab_lab): pass
    """)
    result.assert_outcomes(passed=2)
    assert engine.log == ["start test-1m1w"]


def test_reused_lab_is_started_once_for_several_runs(run: Any, engine: Any) -> None:
    engine.distribution = "k3s"
    text = "@pytest.mark.halab(topology='1m1w')\ndef test_one(halab_lab): pass"
    for _ in range(2):
        run(text, "--halab-reuse=mine").assert_outcomes(passed=1)
    assert engine.log == ["start mine"]
    # What a marker does not name may be as it is.
    named = "@pytest.mark.halab(distribution='k3s')\ndef test_one(halab_lab): pass"
    run(named, "--halab-reuse=mine").assert_outcomes(passed=1)
    wrong = text.replace("1m1w", "3m3w")
    result = run(wrong, "--halab-reuse=mine")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*halab: lab mine is 1m1w, not 3m3w*"])
    result.stdout.no_fnmatch_line("*another exception*")


def test_who_waits_for_a_lab_says_so(
    run: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SHARED_S", 0.3)
    lock = locks.Lock("mine", sessions.KIND)
    assert lock.acquire()
    try:
        result = run("def test_one(halab_lab): pass", "--halab-reuse=mine")
    finally:
        lock.release()
    waits = "halab: lab mine is in use by another test session; waiting for it"
    result.stdout.fnmatch_lines([waits, "*Exit: halab: lab mine is free for a test*"])
    assert not engine.log


def test_lab_that_cannot_be_started_is_an_error_without_a_traceback(run: Any, engine: Any) -> None:
    engine.fails = "the engine has no room"
    result = run("def test_one(halab_lab): pass\ndef test_two(halab_lab): pass")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*halab: the engine has no room*"])
    result.stdout.no_fnmatch_line("*EngineError*")
    result.stdout.no_fnmatch_line("*another exception*")
    # It is not tried again for the second test, and nothing is left.
    assert engine.log == ["start test-3m3w", "destroy test-3m3w"]


# --- what is wrong is told before anything starts ---


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("topologie='3m3w'", "no argument `topologie`"),
        ("'3m3w'", "its arguments have names: halab(topology=*"),
        ("topology='3m3'", "no topology `3m3`"),
        ("set={'ha.tokn': '1s'}", "*tokn*"),
        ("set=3", "set=3 is not a mapping"),
        ("distribution='rke2'", "no distribution `rke2`"),
        ("keep=1", "keep=1 is neither True nor False"),
    ],
)
@pytest.mark.parametrize("fixture", ["halab_lab", "halab_fresh_lab"])
def test_bad_marker_is_a_usage_error(
    run: Any, engine: Any, mark: str, said: str, fixture: str
) -> None:
    text = f"@pytest.mark.halab({mark})\ndef test_bad({fixture}): pass\ndef test_ok(): pass"
    result = run(text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *test_bad*@pytest.mark.halab: {said}*"])
    assert "Traceback" not in f"{result.stdout}{result.stderr}"
    assert not engine.log


def test_bad_marker_fails_a_test_of_an_xdist_worker(
    run: Any, engine: Any, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("def pytest_configure(config): config.workerinput = {}")
    result = run("@pytest.mark.halab(keep=1)\ndef test_bad(halab_lab): pass\ndef test_ok(): pass")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*keep=1 is neither True nor False*"])
    assert not engine.log


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--halab-topology=3m3", "--halab-topology: no topology `3m3`"),
        ("--halab-topology=./none.yaml", "--halab-topology: none.yaml: there is no such file"),
        ("--halab-distribution=k3", "--halab-distribution: no distribution `k3`"),
        ("--halab-reuse=../mine", "--halab-reuse: no lab has such a name"),
    ],
)
def test_bad_option_is_a_usage_error(run: Any, option: str, said: str) -> None:
    result = run("def test_ok(): pass", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}*"])
    assert "Traceback" not in f"{result.stdout}{result.stderr}"


# --- a failed test ---

MEASURES = """
        from pathlib import Path
        from lab.testing.measurement import Measurement

        def measure(lab, name):
            folder = Path(name).resolve()
            folder.mkdir()
            (folder / "report.html").write_text("<p>")
            (folder / "report.txt").write_text(f"FAILED: {name}")
            lab.measurements.append(Measurement(folder))
"""


def test_failed_test_says_where_its_runs_are(
    run: Any, engine: Any, pytester: pytest.Pytester
) -> None:
    result = run(
        f"""{MEASURES}
        def test_good(halab_lab):
            measure(halab_lab, "first")

        def test_bad(halab_lab):
            measure(halab_lab, "second")
            measure(halab_lab, "third")
            assert False

        def test_unmeasured(halab_lab):
            assert False
    """,
        "--junit-xml=junit.xml",
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*halab: what was measured*",
            "run: */second",
            "*report.html",
            "FAILED: second",
            "run: */third",
            "*lab test-3m3w*",
            "nothing was measured; --halab-keep leaves it running*",
        ]
    )
    result.stdout.no_fnmatch_line("run: */first")
    xml = (pytester.path / "junit.xml").read_text()
    assert xml.count('name="halab_run"') == 2


def test_next_test_finds_a_whole_lab_after_a_failed_one(run: Any, engine: Any) -> None:
    result = run("""
        def test_bad(halab_lab):
            with halab_lab.fault("hang", "m"):
                assert False

        def test_good(halab_lab):
            pass
    """)
    result.assert_outcomes(passed=1, failed=1)
    assert engine.log == [
        "start test-3m3w",
        "inject hang m",
        "heal hang",
        "whole",
        "whole",
        "destroy test-3m3w",
    ]


def test_second_try_has_the_same_lab_made_whole_and_its_own_measurements(
    run: Any, engine: Any
) -> None:
    result = run(
        f"""{MEASURES}
        tries = []

        @pytest.fixture
        def number():
            tries.append("begun")
            return len(tries)

        def test_that_is_starved_once(halab_lab, number):
            measure(halab_lab, f"try-{{number}}")
            assert number > 1

        def test_that_never_passes(halab_lab, number):
            measure(halab_lab, f"try-{{number}}")
            assert False
    """,
        *("-p", "pytest_rerunfailures", "--reruns=1"),
    )
    result.assert_outcomes(passed=1, failed=1)
    assert result.parseoutcomes()["rerun"] == 2
    # After each test's first try, and not after the one that passed.
    assert engine.log == ["start test-3m3w", "whole", "whole", "destroy test-3m3w"]
    result.stdout.fnmatch_lines(["*halab: what was measured*", "run: */try-4"])
    result.stdout.no_fnmatch_line("run: */try-3")


def test_marker_and_options_are_explained(run: Any) -> None:
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.halab(topology=*"])
    run("", "--help").stdout.fnmatch_lines(["*--halab-topology=NAME|FILE*", "*--halab-reuse=LAB*"])


def test_measurement_names_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "all.log").write_text("")
    assert Measurement(tmp_path).files == ("logs/all.log",)
