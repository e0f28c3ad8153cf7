"""What a digest is taken of is RFC 8785 JSON, byte for byte, however it is made."""

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.admission.digest import canonical

TEXT = st.text(max_size=20) | st.text(alphabet=st.characters(max_codepoint=0x80), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


@settings(deadline=None)
@given(VALUES)
def test_every_value_has_its_canonical_form(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # JSON types


def test_names_are_in_the_order_of_utf_16() -> None:
    assert canonical({"\uffff": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\uffff":1}'.encode()
