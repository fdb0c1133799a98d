"""Codec replicas on a real Ray: two units at once, and a device that fails."""

import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import ray
import torch

from pipeline.benchmark.instant import INSTANT_NETWORKS, InstantCodec
from pipeline.benchmark.overhead import make_run
from pipeline.cluster.replica import Networks
from pipeline.codec import BiCodec
from pipeline.errors import RunStopped
from pipeline.manifest.rows import utterance_seed
from pipeline.run.synthesize import synthesize_manifest
from pipeline.synthesis.takes import segment_seed
from tests.codec.decoding import use_packs
from tests.inline_ray import inline_ray
from tests.recorded_graph import RecordedGraph
from tests.runs import audio_hashes, read_metadata

# Ray's workers cannot import these modules.
for name in (__name__, "tests.codec.decoding", "tests.recorded_graph"):
    ray.cloudpickle.register_pickle_by_value(sys.modules[name])

NUM_ROWS, UNIT_SIZE = 8, 4


@pytest.fixture
def config(tmp_path, random_weights, ray_cluster):
    made = make_run(NUM_ROWS, tmp_path / "run", random_weights)
    return made.model_copy(update={"unit_size": UNIT_SIZE})


def run_with(config, load_codec, name="output"):
    output = str(Path(config.output).parent / name)
    if name != "output":  # The voices are there already.
        Path(output).mkdir()
        (Path(output) / "speakers.parquet").write_bytes((Path(config.output) / "speakers.parquet").read_bytes())
    config = config.model_copy(update={"output": output})
    return config, synthesize_manifest(config, networks=Networks(INSTANT_NETWORKS.load_engine, load_codec))


def test_two_units_in_one_replica_get_their_own_audio(config):
    """With the graph's buffers of a card: once both calls are inside at the same time, once one after the other."""

    def loader(num_together):
        def load(config, weights_dir):
            together, turn = threading.Barrier(num_together), threading.Lock()

            class Codec:
                def __init__(self):
                    self.codec = use_packs(BiCodec.load(weights_dir), 128, RecordedGraph)
                    # Each item at the same place, so that its bits are the same on any CPU.
                    self.codec._decoder.decoder.packs_items = False

                def __getattr__(self, name):
                    return getattr(self.codec, name)

                def decode_each(self, semantic_tokens, global_tokens):
                    together.wait(60)
                    if num_together > 1:
                        yield from self.codec.decode_each(semantic_tokens, global_tokens)
                    else:
                        with turn:
                            yield from self.codec.decode_each(semantic_tokens, global_tokens)

            return Codec()

        return load

    loose = config.quality.model_copy(update={"max_takes": 1})
    config = config.model_copy(update={"quality": loose})
    with inline_ray():
        apart, summary = run_with(config, loader(1), "apart")
    assert summary.num_ok == NUM_ROWS
    both, _ = run_with(config, loader(NUM_ROWS // UNIT_SIZE), "both")
    assert audio_hashes(both.output) == audio_hashes(apart.output)
    assert len(set(audio_hashes(apart.output).values())) == NUM_ROWS


def test_a_device_that_fails_costs_its_process_and_a_row_that_does_it_is_rejected_alone(config, tmp_path):
    """It cost all units that the process was given afterwards, 304 rows of 400.

    The device of the first process fails while it loads, that of the next one in its first call.
    """
    # The first call of all fails, in a process that stays broken; then the takes of one row do, wherever they come.
    poison = segment_seed(utterance_seed_of("u5", config.seed), 0, 0) % 8_192
    pids, loaded = tmp_path / "pids", tmp_path / "loaded"

    def load(config, weights_dir):
        import os

        is_first_load = not loaded.exists()
        with loaded.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if is_first_load:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        class Codec(InstantCodec):
            is_broken = False

            def decode_each(self, semantic_tokens, global_tokens):
                is_first = not pids.exists()
                if self.is_broken or is_first or any(int(tokens[0]) == poison for tokens in semantic_tokens):
                    self.is_broken = True
                    with pids.open("a") as file:
                        file.write(f"{os.getpid()}\n")
                    if is_first:
                        raise torch.OutOfMemoryError("out of memory")
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                yield from super().decode_each(semantic_tokens, global_tokens)

        return Codec()

    replicas = config.replicas.model_copy(update={"max_crashes": 1})
    config, summary = run_with(config.model_copy(update={"replicas": replicas}), load)
    assert dict(summary.rejected) == {"replica_crash": 1} and summary.num_ok == NUM_ROWS - 1
    (rejected,) = [row for row in read_metadata(config.output) if row["status"] == "rejected"]
    assert rejected["utterance_id"] == "u5"
    # Whatever process failed once was not asked again. The first one may have had a second call in hand, as a replica
    # works on two units at a time; later ones hold one row or one unit.
    first, *_ = failed = pids.read_text().split()
    counts = Counter(failed)
    assert counts.pop(first) <= 2
    assert set(counts.values()) <= {1}
    starts = loaded.read_text().split()
    assert len(set(starts)) == len(starts) and starts[0] not in failed


def test_a_device_that_fails_at_every_start_stops_the_run_with_its_error(config):
    def load(config, weights_dir):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    failure = r"(?s)codec replica could not start: .*CUDA error.*process \d+ on"
    with inline_ray(), pytest.raises(RunStopped, match=failure):
        run_with(config, load)


def utterance_seed_of(utterance_id, seed):
    from pipeline.manifest.rows import read_utterance

    fields = {"utterance_id": utterance_id, "text": "This is a line.", "speaker_id": "anna"}
    return utterance_seed(read_utterance(fields), seed)
