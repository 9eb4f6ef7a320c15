"""A lesson's format: what is right is read, what is wrong gets one clear message with its line."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from lab.base.errors import InputError, TopologyError
from lab.lessons import catalog, lesson_file
from lab.lessons.checks import LOOKS
from lab.lessons.schema import CHECKS, KEYS, schema

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = catalog.shipped()
VALIDATOR = jsonschema.Draft202012Validator(schema())
STEP: dict[str, Any] = {
    "name": "kill",
    "look": ["halab status LAB"],
    "checks": [
        {"lab": "quorum"},
        {"node": "@former-holder", "is": "off"},
        {"vip": "moved"},
        {"etcd": "voters", "count": 3},
        {"fenced": "nobody"},
        {"fault": "crash", "at": "m"},
        {"pods": "app=web", "count": 2, "away-from": "role:master"},
        {"run": "true", "at": "@running-master", "prints": "^x"},
        {"file": "/etc/hosts", "at": "w1,w2"},
        {"api": "lb", "is": "silent"},
        {"answer": "holder", "is": "@vip-holder"},
        {"scenario": "crash-worker", "outcome": "pass", "expect": ["outage(api.vip) <= 5s"]},
    ],
    "hints": ["think", "halab fault inject LAB crash m"],
    "solution": ["halab fault inject LAB crash m"],
    "timeout": "30s",
}
LESSON: dict[str, Any] = {
    "title": "T",
    "objective": "O",
    "topology": "3m3w",
    "set": ["ha.token=400ms"],
    "minutes": 10,
    "trains": ["CKA: troubleshooting"],
    "steps": [STEP],
    "unrecoverable": [{"lab": "no-quorum"}],
    "cleanup": ["true"],
    "figures": [
        {"name": "n", "report": "r", "scenario": "crash-worker", "figure": "outage(api.vip)"},
        {"name": "n", "report": "r", "journal": ["fenced", "vip-start"]},
        {"name": "n", "report": "r", "terms": True},
    ],
}
TEXT = "# T\n\nIntro.\n\n## kill\n\nDo it.\n\n## debrief\n\nWhy.\n"


def load(folder: Path, lesson: Any = LESSON, text: str = TEXT) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "lesson.yaml").write_text(yaml.safe_dump(lesson, sort_keys=False))
    (folder / "text.md").write_text(text)
    return lesson_file.load(folder)


def refused(folder: Path, *more: Any) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(folder, *more)
    return str(caught.value).splitlines()


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(LESSON), **changes}


def step(**changes: Any) -> dict[str, Any]:
    return changed(steps=[{**copy.deepcopy(STEP), **changes}])


def test_a_lesson_is_read_with_its_texts(tmp_path: Path) -> None:
    lesson = load(tmp_path / "07-power")
    assert (lesson.name, lesson.minutes, lesson.text) == ("power", 10, "Intro.")
    (only,) = lesson.steps
    assert (only.text, only.timeout_ms, only.hints[0]) == ("Do it.", 30_000, "think")
    assert [check.kind for check in only.checks] == list(CHECKS)
    assert only.checks[1].options == {"is": "off"}
    assert only.checks[-1].expect[0].limit == 5
    assert lesson.debrief == "Why."
    assert [figure.terms for figure in lesson.figures] == [False, False, True]


def test_the_schema_is_one_and_takes_what_the_loader_takes() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    VALIDATOR.validate(LESSON)
    assert set(CHECKS) == set(LOOKS)


@pytest.mark.parametrize("section", [path for path in KEYS if not path.startswith("check ")])
def test_every_key_is_described(section: str) -> None:
    whole = schema()["properties"]
    parts = {"": whole, **{f"{name}.*": whole[name]["items"] for name in ("steps", "figures")}}
    described = parts[section].get("properties", parts[section])
    assert all(described[key]["description"].endswith(".") for key in KEYS[section])


@pytest.mark.parametrize(
    ("lesson", "message"),
    [
        (changed(titel="x"), "unknown key `titel` (did you mean `title`?)"),
        ({**changed(), "minutes": "soon"}, "`minutes` is `soon`, not a whole number"),
        (changed(topology="3m4w"), "`topology` has `3m4w`, which is not known"),
        (changed(set=["ha.tokn=1s"]), "`set` does not fit 3m3w: "),
        (changed(trains=["RHCE: all"]), "`trains` has `RHCE: all`, no part of an examination"),
        (changed(steps=[]), "`steps` must be a list with items"),
        (changed(steps=[copy.deepcopy(STEP), STEP]), "a second step `kill`"),
        (step(name="debrief"), "`debrief` is the heading of the end"),
        (step(hints=[]), "`steps.*.hints` must be a list with items"),
        (step(timeout="30"), "`steps.*.timeout` is `30`, a number without a unit"),
        (step(checks=[{"is": "off"}]), "a check has no kind"),
        (step(checks=["off"]), "a check has no kind"),
        (step(checks=[{"lab": "steady", "vip": "held"}]), "a check has 2 kinds: lab, vip"),
        (step(checks=[{"lab": "stady"}]), "has `stady`, which is not known (did you mean"),
        (step(checks=[{"node": "w9", "is": "off"}]), "no node and no target `w9`"),
        (step(checks=[{"node": "w1"}]), "`is` is missing in `check node`"),
        (step(checks=[{"node": "w1", "is": "off", "wehn": "x"}]), "unknown key `wehn`"),
        (step(checks=[{"fault": "crsh"}]), "has no fault `crsh` (did you mean `crash`?)"),
        (step(checks=[{"scenario": "crash"}]), "has no scenario `crash`"),
        (step(checks=[{"run": "true", "prints": "("}]), "has no regular expression `(`"),
        (step(checks=[{"etcd": "voters", "count": "two"}]), "`check etcd.count` is `two`"),
        (step(checks=[{"api": "@nobody", "is": "silent"}]), "no target `@nobody`"),
        (step(checks=[{"answer": "x", "is": "@leadr"}]), "no target `@leadr`"),
        (
            step(checks=[{"scenario": "crash-worker", "expect": ["outag(x) < 1s"]}]),
            "has no expectation knows `outag`",
        ),
        (changed(figures=[{"name": "n", "report": "r"}]), "a figure comes from one place"),
        (
            changed(figures=[{"name": "n", "report": "r", "journal": ["fenced"]}]),
            "`journal` has two stages",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, lesson: Any, message: str) -> None:
    lines = refused(tmp_path / "x", lesson)
    assert any(message in line for line in lines), lines
    assert all(line.startswith(f"{tmp_path}/x/lesson.yaml:") for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("## kill", "## kil"), "text.md:5: no step is called `kil` (did you mean"),
        (TEXT.replace("Do it.", ""), "text.md:5: the section `kill` is empty"),
        (TEXT.replace("## debrief", "### debrief"), "text.md: the section `## debrief` is missing"),
        (TEXT + "## kill\n\nagain\n", "text.md:12: a second section `kill`"),
    ],
)
def test_texts_must_fit_the_steps(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in line for line in refused(tmp_path / "x", LESSON, text))


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a lesson is a folder with lesson\.yaml and text\.md"):
        lesson_file.load(tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_lessons_are_valid(name: str) -> None:
    folder = SHIPPED[name]
    VALIDATOR.validate(yaml.safe_load((folder / "lesson.yaml").read_text()))
    lesson = catalog.find(name)
    assert 10 <= lesson.minutes <= 25
    assert len(lesson.text.split()) > 40
    for each in lesson.steps:
        assert len(each.hints) >= 2, f"{name}: {each.name} has hints from a nudge to the answer"
    mentioned = [*lesson.cleanup, *(text for each in lesson.steps for text in each.solution)]
    assert not [text for text in mentioned if "3m3w" in text], "solutions say LAB"


def test_lessons_have_an_order() -> None:
    numbers = [int(folder.name.partition("-")[0]) for folder in SHIPPED.values()]
    assert numbers == sorted(set(numbers))


def test_a_lesson_that_is_not_there_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean `vip-moves`"):
        catalog.find("vip-move")


def test_a_lesson_elsewhere_is_loaded_by_its_path_but_cannot_be_begun(tmp_path: Path) -> None:
    folder = tmp_path / "01-mine"
    load(folder)
    assert catalog.find_or_load(str(folder)).name == "mine"
    assert catalog.find_or_load("vip-moves").folder == SHIPPED["vip-moves"]
    with pytest.raises(InputError, match=r"no lesson .*mine`.*") as caught:
        catalog.find(str(folder))
    assert "halab lesson verify FOLDER" in caught.value.hint
