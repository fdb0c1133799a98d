"""BiCodec: waveforms to speech tokens and back.

`bicodec.py` is the interface: it loads a model directory (`checkpoint.py`) into networks (`networks.py` and the modules
that they are made of). Decoding runs item by item on a CPU (`item_decoder.py`) and in packs on a GPU
(`pack_decoder.py`, shared through `pack_queue.py`), each to the same bits whatever is decoded beside an item.
May import `packed_linear`, `gpu`, `audio`, `config.yaml_reader` and `errors`; of a run, its settings, text or Ray it
knows nothing.

The names are imported when they are first used: torch is loaded with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.codec.bicodec import BiCodec, SpeechTokens
    from pipeline.codec.pack_decoder import DecodedItem

_HOMES = {"BiCodec": "bicodec", "DecodedItem": "pack_decoder", "SpeechTokens": "bicodec"}
__all__ = ["BiCodec", "DecodedItem", "SpeechTokens"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
