"""Packing loses nothing and wastes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo_sdk.errors import InvalidInput
from zoo_vision.integer import bits as packing
from zoo_vision.integer.bits import pack, packed_size, unpack


@settings(max_examples=100, deadline=None)
@given(bits=st.integers(2, 8), signed=st.booleans(), count=st.integers(0, 200), seed=st.integers(0, 2**32 - 1))
def test_any_codes_come_back_from_their_bytes(bits: int, signed: bool, count: int, seed: int) -> None:
    lowest = -(2 ** (bits - 1)) if signed else 0
    codes = np.random.default_rng(seed).integers(lowest, lowest + 2**bits, size=count).astype(np.int16)
    packed = pack(codes, bits, lowest)
    assert packed.size == packed_size(count, bits) == -(-count * bits // 8)
    assert np.array_equal(unpack(packed, count, bits, lowest), codes)


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_that_fill_several_parts_come_back(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CODES_AT_ONCE", 16)
    codes = np.random.default_rng(bits).integers(0, 2**bits, size=101).astype(np.int16)
    assert np.array_equal(unpack(pack(codes, bits, 0), 101, bits, 0), codes)


def test_the_layout_is_the_documented_one() -> None:
    # -4, 3 and 0 from -4 are 0, 7 and 4: bits 000, 111, 001 (lowest first), in one number 4 * 64 + 7 * 8 + 0.
    packed = pack(np.array([-4, 3, 0], dtype=np.int16), 3, -4)
    assert int.from_bytes(packed.tobytes(), "little") == 4 * 64 + 7 * 8


@pytest.mark.parametrize("code", [-5, 4])
def test_a_code_that_does_not_fit_is_refused(code: int) -> None:
    with pytest.raises(InvalidInput, match="do not fit 3 bits"):
        pack(np.array([0, code], dtype=np.int16), 3, -4)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_too_few_or_too_many_bytes_are_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="5 codes of 3 bits take 2 bytes"):
        unpack(np.zeros(size, dtype=np.uint8), 5, 3, 0)
