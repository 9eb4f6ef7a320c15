"""How the Makefile calls pytest: all tests are run, and a second try is never silent."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
SUMMARY = "-raR"
"""Of pyproject.toml."""


def variable(name: str) -> str:
    found = re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)
    assert found
    return found[1]


def calls() -> list[str]:
    """Return the recipes' lines that call pytest, continued ones joined."""
    lines = MAKEFILE.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("\t") and "$(BIN)/pytest" in line]


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], pytest.RunResult]:
    """Run a test file with the Makefile's options, and no other plug-in."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    options = shlex.split(variable("RERUN"))

    def run(text: str) -> pytest.RunResult:
        pytester.makepyfile(f"import pytest\ntries = []\n{textwrap.dedent(text)}")
        plugins = ("-p", "pytest_rerunfailures", "-p", "no:cacheprovider", "--strict-markers")
        return pytester.runpytest_inprocess(*plugins, SUMMARY, "-Werror", *options)

    return run


def test_only_tests_with_an_engine_get_a_second_try() -> None:
    found = calls()
    assert len(found) > 8
    for line in found:
        unit = "tests/unit" in variable("UNIT") and "$(UNIT)" in line
        assert unit or "$(RERUN) tests/" in line, line
        assert not (unit and "RERUN" in line), line
    assert f'"{SUMMARY}"' in (ROOT / "pyproject.toml").read_text()


def test_make_test_runs_all_folders_and_leaves_out_what_has_a_target_of_its_own() -> None:
    recipe = re.search(r"^test: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe
    lines = [line.strip() for line in recipe[1].replace("\\\n", " ").splitlines()]
    assert "$(UNIT)" in lines[0]
    assert "tests/docker tests/e2e" in lines[1]
    left_out = re.search(r'-m "([^"]+)"', lines[1])
    assert left_out
    left = ("addons", "ceph", "lessons", "services", "double")
    assert left_out[1] == " and ".join(f"not {marker}" for marker in left)
    assert "-m " not in lines[0]
    assert "--halab-distribution k3s -m distribution" in lines[2]
    assert "tests/engines/run.py --smoke" in lines[3]


def test_second_try_keeps_what_the_session_has_and_makes_anew_what_is_the_tests(
    run: Callable[[str], pytest.RunResult],
) -> None:
    result = run("""
        @pytest.fixture(scope="session")
        def lab():
            tries.append("lab")
            yield
            tries.append("destroyed")

        @pytest.fixture
        def machine():
            tries.append("machine")
            yield
            tries.append("stopped")

        def test_starved(lab, machine):
            assert tries.count("machine") == 2, "starved once"

        def test_next(lab, machine):
            assert tries == ["lab", *["machine", "stopped"] * 2, "machine"]
    """)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*rerun test summary info*",
            "RERUN *::test_starved",
            "*AssertionError: starved once*",
            "PASSED *::test_starved",
            "*2 passed, 1 rerun*",
        ]
    )


def test_what_fails_twice_fails(run: Callable[[str], pytest.RunResult]) -> None:
    result = run("def test_broken(): assert False")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    assert result.parseoutcomes()["rerun"] == 1


def test_lab_that_never_starts_is_tried_a_few_times_and_not_for_each_test(
    run: Callable[[str], pytest.RunResult],
) -> None:
    """Each start may take minutes to fail."""
    result = run("""
        @pytest.fixture(scope="session")
        def lab():
            tries.append("start")
            pytest.fail(f"start number {len(tries)}")

        @pytest.mark.parametrize("number", range(20))
        def test_something(lab, number):
            pass
    """)
    result.assert_outcomes(errors=20)
    assert result.parseoutcomes()["rerun"] == 3
    result.stdout.fnmatch_lines(["*start number 4*"])
    result.stdout.no_fnmatch_line("*start number 5*")


def test_what_runs_into_its_time_limit_gets_no_second_try(
    run: Callable[[str], pytest.RunResult],
) -> None:
    """pytest-timeout has one limit for all tries: a second one would have none."""
    result = run(f"def test_hung(): pytest.fail({pytest_timeout.PYTEST_FAILURE_MESSAGE!r} % 900)")
    result.assert_outcomes(failed=1)
    assert "rerun" not in result.parseoutcomes()
