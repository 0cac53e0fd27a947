from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from avbench.harness.printable import printable


@given(st.text(alphabet=st.characters(codec=None), max_size=300), st.integers(10, 100))
def test_one_printable_line_of_bounded_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert printable(shown, limit) == shown


@given(st.text(alphabet="abc XYZ<>&äß漢", max_size=50))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_control_characters_show_as_escapes() -> None:
    assert printable("a\x1b[31m\nb\u202e") == r"a\x1b[31m\nb\u202e"
    assert printable("\ud800") == r"\ud800"
