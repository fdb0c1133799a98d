"""Damage within compressed recordings, over which their decoders pass without a word.

An Ogg file numbers its pages and has a checksum in each. MP3 has neither: there the frames must follow on each other,
and encoders such as LAME write size and checksum of all frames into the first. A byte that was changed within a frame
of a file without them goes unnoticed.
"""

from __future__ import annotations

import zlib

CUT = "the file is cut short"
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_OGG_HEAD_BYTES = 27
_MP3_TOLERANCE = 0.01
_LYRICS = b"LYRICSBEGIN"
# By version (MPEG 1, or 2 and 2.5) and layer.
_KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_RATE_SHIFTS = {3: 0, 2: 1, 0: 2}
"""By the two bits of the version: MPEG 2 has half of the rates of MPEG 1, MPEG 2.5 a quarter."""


def find_damage(data: bytes, kind: str) -> str | None:
    """Return what is wrong with a recording, or None if nothing is, or if it is of another kind.

    Args:
        data: the file's content.
        kind: OGG or MP3, as libsndfile calls them.
    """
    if kind == "OGG":
        return _find_in_pages(data)
    return _find_in_frames(data) if kind == "MP3" else None


def _find_in_pages(data: bytes) -> str | None:
    at = num_pages = 0
    due: dict[bytes, int] = {}
    has_audio = False
    while at < len(data):
        head = data[at : at + _OGG_HEAD_BYTES]
        if head[:4] != b"OggS"[: len(head)]:
            return _damaged(at, f"what follows on page {num_pages:,} is not one")
        end = at + _OGG_HEAD_BYTES + head[-1]
        end += sum(data[at + _OGG_HEAD_BYTES : end])
        if len(head) < _OGG_HEAD_BYTES or end > len(data):
            return CUT
        page = data[at:end]
        num_pages += 1
        mirrored = page.translate(_MIRRORED)
        checksum = ~zlib.crc32(mirrored[:22] + bytes(4) + mirrored[26:], 0xFFFFFFFF) & 0xFFFFFFFF
        if checksum != int.from_bytes(mirrored[22:26], "big"):
            return _damaged(at, f"page {num_pages:,} has another checksum than was written into it")
        is_first, stream, number = bool(head[5] & 2), head[14:18], int.from_bytes(head[18:22], "little")
        if is_first and has_audio:
            return _damaged(at, "another recording begins there")
        if number != due.get(stream, number):
            return _damaged(at, f"page number {number:,} stands where {due[stream]:,} is due")
        due[stream], has_audio, at = number + 1, not is_first, end
    return None


def _find_in_frames(data: bytes) -> str | None:
    at = start = _skip_tags(data, 0)
    first = _read_frame(data, at)
    if first is None:
        return _damaged(at, "no frame begins where the first one is due") if at < len(data) else None
    if first[0] == 0:  # Of a rate that the header does not name, so that no frame says where it ends.
        return None
    summary = max(data.find(b"Xing", at, at + first[0]), data.find(b"Info", at, at + first[0])) - at
    while at < len(data):
        frame = _read_frame(data, at)
        if frame is None:
            behind = _skip_tags(data, at)
            if behind >= len(data) or data.startswith(_LYRICS, behind):
                break
            begins = "no frame begins there" if behind == at else "another recording begins there"
            return _damaged(behind, f"{begins}, where the one before ends")
        if frame[1] != first[1]:
            return _damaged(at, "a frame has another rate or form than the first")
        if at > start and summary > 0 and data[at + summary : at + summary + 4] in (b"Xing", b"Info"):
            return _damaged(at, "another recording begins there")
        if frame[0] == 0 or at + frame[0] > len(data):
            return CUT
        at += frame[0]
    return _compare_with_summary(data[start:at], first[0], summary) if summary > 0 else None


def _compare_with_summary(frames: bytes, first_size: int, at: int) -> str | None:
    """Compare frames with what the first one, which holds no sound, says of all.

    Args:
        frames: without what stands before and behind them.
        first_size: bytes of the first one.
        at: where its fields begin.
    """
    flags = frames[at + 7]
    if not flags & 2:
        return None
    place = at + 8 + 4 * (flags & 1)
    promised = int.from_bytes(frames[place : place + 4], "big")
    if len(frames) < promised * (1 - _MP3_TOLERANCE):
        return CUT
    more = place + 4 + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    length = int.from_bytes(frames[more + 28 : more + 32], "big")
    checksum = int.from_bytes(frames[more + 32 : more + 34], "big")
    # LAME and FFmpeg say the length a second time; of others, these bytes are something else.
    if length != promised or checksum in (0, _checksum(frames[first_size:])):
        return None
    return "the sound has another checksum than its encoder wrote: damaged, or edited since; export it again"


def _skip_tags(data: bytes, at: int) -> int:
    """Return where the tags end that stand before the first frame (they may hold pictures) or behind the last one."""
    while True:
        head = data[at : at + 32]
        if head[:3] == b"ID3" and len(head) >= 10:
            at += 10 + sum(digit << shift for digit, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            at += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG":
            at += 128
        else:
            return at


def _read_frame(data: bytes, at: int) -> tuple[int, tuple[int, int, int]] | None:
    """Return a frame's bytes, 0 if it does not say so, and version, layer and rate; None where no frame begins."""
    head = int.from_bytes(data[at : at + 4], "big")
    version_bits, layer, rate_index, kilobit_index = (
        head >> 19 & 3,
        4 - (head >> 17 & 3),
        head >> 10 & 3,
        head >> 12 & 15,
    )
    if head >> 21 != 0x7FF or version_bits == 1 or layer == 4 or rate_index == 3 or kilobit_index == 15:
        return None
    rate = _RATES[rate_index] >> _RATE_SHIFTS[version_bits]
    form = (version_bits, layer, rate)
    if kilobit_index == 0:
        return 0, form
    version = 1 if version_bits == 3 else 2
    bits, padding = 1_000 * _KILOBITS[version, layer][kilobit_index - 1], head >> 9 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4, form
    return (72 if (version, layer) == (2, 3) else 144) * bits // rate + padding, form


def _checksum(data: bytes) -> int:
    """Return the checksum that LAME writes (CRC-16 of the polynomial 0x8005, mirrored)."""
    value = 0
    for byte in data:
        value = value >> 8 ^ _CHECKSUMS[(value ^ byte) & 0xFF]
    return value


def _checksum_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0xA001 * (value & 1)
    return value


_CHECKSUMS = tuple(map(_checksum_of_byte, range(256)))


def _damaged(at: int, how: str) -> str:
    return f"damaged at byte {at:,}: {how}; copy or export it again"
