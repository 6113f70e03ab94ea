"""Readers of foreign text: any bytes give an error of the reader's own kind, or what comes back the same."""

from __future__ import annotations

import pytest

from tests.fuzz.corpus import inputs_of, mutations
from tests.fuzz.targets import TARGETS

_MUTATIONS = {"transcripts": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_has_found_is_read_as_it_must_be(name: str) -> None:
    run, inputs = TARGETS[name].run, inputs_of(name)
    for data in inputs:
        run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_near_it_too(name: str) -> None:
    for data in mutations(inputs_of(name), _MUTATIONS.get(name, 400), seed=20_260_922):
        TARGETS[name].run(data)
