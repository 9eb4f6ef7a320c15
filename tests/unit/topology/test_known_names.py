from __future__ import annotations

from lab.addons import catalog
from lab.nodes import distributions
from lab.topology.known_names import ADDONS, DISTRIBUTIONS


def test_words_of_files_are_the_folders_lists() -> None:
    assert distributions.names() == DISTRIBUTIONS

    assert catalog.names() == ADDONS
