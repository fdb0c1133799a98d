"""Comments of a FLAC: what a file says of itself wherever it is copied to. Its sound stays as it is, to the bit.

Knows nothing of decoding: a FLAC is a mark, blocks of metadata, and frames; only the block of comments is replaced.
Source: RFC 9639, sections 8 and 8.6.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_MARK, _COMMENT_BLOCK, _LAST_BLOCK, _LARGEST_BLOCK = b"fLaC", 4, 0x80, (1 << 24) - 1


def with_comments(data: bytes, comments: Mapping[str, str]) -> bytes:
    """Return a FLAC with these comments in place of those that it has; the name of its encoder stays.

    Args:
        data: the whole file.
        comments: text by name; names are upper-case ASCII, as `LICENSE`.

    Raises:
        ValueError: it is no FLAC, or is cut off.
    """
    if data[:4] != _MARK:
        raise ValueError("not a FLAC: it does not begin with fLaC")
    at, blocks, vendor = 4, [], b""
    is_last = False
    while not is_last:
        if at + 4 > len(data):
            raise ValueError("a FLAC that is cut off within its metadata")
        kind, size = data[at] & ~_LAST_BLOCK, int.from_bytes(data[at + 1 : at + 4], "big")
        is_last = bool(data[at] & _LAST_BLOCK)
        block = data[at + 4 : at + 4 + size]
        if len(block) < size:
            raise ValueError("a FLAC that is cut off within its metadata")
        if kind == _COMMENT_BLOCK:
            vendor = block[4 : 4 + int.from_bytes(block[:4], "little")]
        else:
            blocks.append((kind, block))
        at += 4 + size
    # Behind the description of the stream, which comes first.
    blocks.insert(1, (_COMMENT_BLOCK, _format_comments(vendor, comments)))
    head = [_MARK]
    for index, (kind, block) in enumerate(blocks):
        flag = _LAST_BLOCK if index == len(blocks) - 1 else 0
        head += [bytes([kind | flag]), len(block).to_bytes(3, "big"), block]
    return b"".join([*head, data[at:]])


def _format_comments(vendor: bytes, comments: Mapping[str, str]) -> bytes:
    lines = [f"{name}={text}".encode() for name, text in comments.items()]
    parts = [struct.pack("<I", len(vendor)), vendor, struct.pack("<I", len(lines))]
    parts += [struct.pack("<I", len(line)) + line for line in lines]
    block = b"".join(parts)
    if len(block) > _LARGEST_BLOCK:
        raise ValueError(f"comments of {len(block):,} bytes; a FLAC holds at most {_LARGEST_BLOCK:,}")
    return block
