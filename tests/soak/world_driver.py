"""`jobs.synthesize` and `jobs.verify` with networks that answer at once and by the prompt: audio tells its text."""

from __future__ import annotations

import sys
import time
import zlib
from contextlib import contextmanager

import numpy as np

import jobs.synthesize
import jobs.verify
from jobs.guard import run_guarded
from pipeline.benchmark import instant
from pipeline.cluster.replica import Networks
from pipeline.run import replicas

STEP_S = 0.02
"""Of the engine, so that there is time to do harm."""


class PromptEngine(instant.InstantEngine):
    """Answers a request by its prompt's text and seed."""

    def step(self):
        """Take a moment."""
        time.sleep(STEP_S)
        return super().step()

    def _answer(self, request):
        from pipeline.llm import Generation  # Here: only the LLM's process loads torch.

        token = zlib.crc32(repr((list(map(int, request.prompt_ids)), request.seed)).encode()) % 8_192
        tokens = np.full(instant.NUM_FRAMES, token, np.int64)
        return Generation(request.request_id, tokens, None, None, None, hit_length_cap=False, num_steps=1)


def make_engine(config, weights_dir):
    """As the benchmark's, with two slots, so that units take a while."""
    return PromptEngine(instant.SpeechVocabulary.load(weights_dir / "LLM"), 2)


NETWORKS = Networks(make_engine, instant.INSTANT_NETWORKS.load_codec)


@contextmanager
def using(networks):
    """Have every run and repair of this process use these."""
    make_setup = replicas.make_setup
    replicas.make_setup = lambda plan, speakers, _=None: make_setup(plan, speakers, networks)
    yield
    replicas.make_setup = make_setup


if __name__ == "__main__":
    from tests.soak.world_driver import NETWORKS as IMPORTABLE  # Replicas cannot import __main__.

    command = {"synthesize": jobs.synthesize, "verify": jobs.verify}[sys.argv.pop(1)]
    with using(IMPORTABLE):
        sys.exit(run_guarded(command.main))
