"""One byte changed: the smallest damage and the smallest forgery."""

from hypothesis import strategies as st


@st.composite
def flipped(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data) - 1))
    mask = draw(st.integers(1, 255))
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
