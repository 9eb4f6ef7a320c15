from __future__ import annotations

import pytest

from lab.base.errors import InputError, WrongError
from lab.base.names import MAX_NAME, check_label, check_name, check_node_name, is_name


@pytest.mark.parametrize("name", ["m", "lab-2", "3m3w", "a" * MAX_NAME])
def test_is_name_is_true_of_a_hostname(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "../x", "localhost", "a" * 31])
def test_is_name_is_false_of_anything_else(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(InputError, match="no lab has such a name"):
        check_name(name)


def test_check_label_offers_what_was_meant() -> None:
    with pytest.raises(WrongError) as caught:
        check_label("My Lab")
    assert caught.value.hint.endswith(": `my-lab`")


@pytest.mark.parametrize("name", ["1", "0x7f"])
def test_check_node_name_refuses_numbers_that_programs_take_for_addresses(name: str) -> None:
    check_label(name)
    with pytest.raises(WrongError, match="is a number"):
        check_node_name(name)
