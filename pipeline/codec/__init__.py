"""BiCodec: waveforms to speech tokens and back.

`bicodec.py` is the interface: it loads a model directory (`checkpoint.py`) into networks (`networks.py` and the modules
that they are made of). Decoding runs item by item on a CPU (`item_decoder.py`) and in packs on a GPU
(`pack_decoder.py`, shared through `pack_queue.py`), each to the same bits whatever is decoded beside an item.
May import `packed_linear`, `gpu`, `audio`, `config.yaml_reader` and `errors`; of a run, its settings, text or Ray it
knows nothing.
"""

from pipeline.codec.bicodec import BiCodec, SpeechTokens
from pipeline.codec.pack_decoder import DecodedItem

__all__ = ["BiCodec", "DecodedItem", "SpeechTokens"]
