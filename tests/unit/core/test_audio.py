"""Audio whose size tells how long it is at most."""

from __future__ import annotations

import base64
import io
import struct
import wave

import pytest

from batchata.core.audio import heard_parts, is_as_long_as_it_is_large

MP3 = b"\xff\xfb\x90\x00" + bytes(60)


def wav(rate: int = 8000, width: int = 2) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(100))
    return made.getvalue()


def form(tag: int, rate: int, bits: int, more: bytes = b"") -> bytes:
    """How the samples of a WAV lie."""
    said = struct.pack("<HHIIHH", tag, 1, rate, rate, 1, bits) + more
    return b"fmt " + struct.pack("<I", len(said)) + said


def riff(*chunks: bytes) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks) + b"data\x04\0\0\0abcd"


PLAIN = form(1, 16000, 16)


@pytest.mark.parametrize(
    "data",
    [
        *(wav(), wav(44100, 3), wav(8000, 1), MP3),
        b"ID3\x04\0\0\0\0\x02\x01" + bytes(257) + MP3,
        riff(b"LIST\x03\0\0\0abc\0", PLAIN),
        riff(form(0xFFFE, 16000, 16, struct.pack("<HHIH", 22, 16, 0, 1) + bytes(14))),
    ],
)
def test_usual_audio_is_as_long_as_it_is_large(data: bytes) -> None:
    assert is_as_long_as_it_is_large(base64.b64encode(data).decode())


@pytest.mark.parametrize(
    "data",
    [
        *(wav(1), wav(999, 1), b"", b"RIFF", b"fLaC" + bytes(60), b"OggS" + bytes(60)),
        *(riff(), riff(PLAIN, form(1, 1, 8)), riff(form(2, 8000, 4)), riff(form(1, 8000, 4))),
        riff(form(0xFFFE, 16000, 16, struct.pack("<HHIH", 22, 16, 0, 2) + bytes(14))),
        b"RIFF\0\0\0\0WAVE" + PLAIN,
        b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + b"fLaC",
        b"\xff\xf1" + bytes(60),
    ],
)
def test_audio_that_may_be_longer_is_not(data: bytes) -> None:
    assert not is_as_long_as_it_is_large(base64.b64encode(data).decode())


@pytest.mark.parametrize("data", [None, 7, "\u00e9" * 80, "data:audio/wav;base64,UklGRg=="])
def test_what_is_no_base64_is_no_usual_audio(data: object) -> None:
    assert not is_as_long_as_it_is_large(data)


def test_every_part_that_is_heard_is_found() -> None:
    parts = [{"type": "input_audio", "input_audio": {"data": str(n)}} for n in range(2)]
    body = {"messages": [{"content": parts[:1]}], "input": [[{"x": parts[1]}]], "input_audio": 3}

    assert [each["data"] for each in heard_parts(body)] == ["0", "1"]
