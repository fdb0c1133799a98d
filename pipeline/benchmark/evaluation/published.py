"""What others published of the official weights: read in the source that is named, never run here."""

from __future__ import annotations

from pipeline.benchmark.evaluation.figures import Published

_SEED_TTS = "arXiv 2505.17589, table of SEED-TTS-Eval"
WORDS = {
    "en": (Published("WER 1.98 % on test-en", _SEED_TTS),),
    "zh": (Published("CER 1.20 % on test-zh", _SEED_TTS),),
}
SPEAKER = {
    "en": (Published("0.584 on test-en, by WavLM-large tuned for speaker verification", _SEED_TTS),),
    "zh": (Published("0.672 on test-zh, by WavLM-large tuned for speaker verification", _SEED_TTS),),
}
RECONSTRUCTION = (Published("98.2 % reproduction, of what is not said", "xueqiuai.com/en/715-html"),)
_TRITON = "README of SparkAudio/Spark-TTS: Triton with TensorRT-LLM on an L20, one request at a time"
REAL_TIME_FACTOR = (Published("0.136", _TRITON),)
LATENCY = (Published("0.876 s for a whole answer, mean", _TRITON),)
