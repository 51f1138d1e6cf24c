"""Names in the database: unmistakable, and short enough."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.errors import Invalid
from matengine.storage.names import MAX_BYTES, check_name, joined, paired

_name = st.text("ab_", min_size=1, max_size=5) | st.text("ab_", min_size=40, max_size=MAX_BYTES)


def test_a_plain_pair_reads_as_what_it_is() -> None:
    assert paired("synapses", "pcg") == joined("synapses", "pcg") == "synapses__pcg"


@given(st.tuples(_name, _name), st.tuples(_name, _name))
def test_no_two_pairs_have_one_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (paired(*one) == paired(*other)) == (one == other)
    assert len(paired(*one)) <= 63


def test_all_ways_to_read_a_name() -> None:
    words = ["".join(letters) for n in range(1, 6) for letters in product("a_", repeat=n)]
    names = [paired(*pair) for pair in product(words, words)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("bad", ["", "A", "1a", "a b", "a" * (MAX_BYTES + 1), "ä", 'a"b'])
def test_what_cannot_be_a_name(bad: str) -> None:
    with pytest.raises(Invalid, match="cannot name a table"):
        check_name(bad, "a table")
