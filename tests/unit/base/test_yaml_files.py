"""Files of plain values: by PyYAML alone, and by libyaml where the file comes with halab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.base import paths
from lab.base.errors import Problem, TopologyError
from lab.base.yaml_files import plain, shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str, str], Any]

both = pytest.mark.parametrize("read", [plain, shipped])


@both
def test_values_stay_texts_but_for_unquoted_booleans(read: Read) -> None:
    text = 'a: {b: [x, "true", \'false\', true, no]}\nc:\n"d": |\n  e\n'
    values = {"b": ["x", "true", "false", True, "no"]}
    assert read(text, "v.yaml") == {"a": values, "c": None, "d": "e\n"}


@both
def test_keys_that_occur_twice_are_refused(read: Read) -> None:
    with pytest.raises(TopologyError) as caught:
        read("a: 1\na: 2\n", "v.yaml")
    assert caught.value.problems == (
        Problem(2, "`a` stands here a second time", "first in line 1; keep one of them"),
    )


@pytest.mark.parametrize("text", ["", "a: [1\n", "a: 1\n---\nb: 2\n", "a: \0"])
def test_shipped_says_of_what_is_no_yaml_the_same_as_plain(text: str) -> None:
    messages = []
    for read in (plain, shipped):
        with pytest.raises(TopologyError) as caught:
            read(text, "v.yaml")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_shipped_reads_the_table_of_versions_as_plain_does() -> None:
    text = (paths.shipped("images") / "versions.yaml").read_text()
    assert shipped(text, "versions.yaml") == plain(text, "versions.yaml")
