"""One mother (see `helpers.forking`) for all tests of a worker that need children with the program imported."""

from collections.abc import Iterator

import pytest
from helpers.forking import Mother, started_mother


@pytest.fixture(scope="session")
def mother() -> Iterator[Mother]:
    with started_mother() as found:
        yield found
