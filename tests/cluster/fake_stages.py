"""The loop over real Ray actors that do nothing but what a test asks: answer, die, hang, raise."""

import os
import sys
import time
from dataclasses import replace

import ray

from pipeline.cluster import ray_api
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.pools import Pool
from pipeline.cluster.replica import ReplicaInfo, locate_process, stack_in_log
from pipeline.cluster.stage_order import STAGES
from pipeline.cluster.unit_states import UnitPlanner
from pipeline.cluster.work_items import Stage
from pipeline.errors import StorageError
from pipeline.manifest.units import WorkUnit
from pipeline.output.row_counts import UnitReceipt

# Ray's workers cannot import this module: its actors travel by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class FakeStage:
    def __init__(self, behavior):
        self.behavior = behavior

    def locate(self):
        return locate_process()

    def heartbeat(self):
        return 0

    def start(self):
        if "hangs_at_start" in self.behavior:
            with stack_in_log(0.5):
                time.sleep(3_600)
        if "cannot_start" in self.behavior:
            raise StorageError("the weights' store is away")
        if "dies_at_start" in self.behavior:
            os._exit(1)
        node = ray_api.own_node_id()
        if node == self.behavior.get("sick_node"):
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        return ReplicaInfo("here", os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", ""), 1, {}, node)


class FakeLLM(FakeStage):
    def generate(self, unit, skipped, wanted):
        rows = [r for r in range(unit.first_row, unit.last_row + 1) if r not in skipped]
        if wanted is not None:
            rows = [row for row in rows if row in wanted]
        if set(rows) & self.behavior.get("deadly", set()):
            time.sleep(0.05)
            os._exit(1)
        if set(rows) & self.behavior.get("greedy", set()):
            eaten = []
            while True:
                eaten.append(b"x" * 100_000_000)
                time.sleep(0.05)
        if set(rows) & self.behavior.get("hanging", set()):
            time.sleep(3_600)
        if set(rows) & self.behavior.get("raising", set()):
            raise RuntimeError("no way")
        takes = [(row, (wanted or {}).get(row, {}).get(0, 0)) for row in rows]
        return takes, {}


class FakeCodec(FakeStage):
    def decode(self, takes):
        failing = self.behavior.get("needs_takes", {})
        wanted = {row: {0: take + 1} for row, take in takes if take + 1 < failing.get(row, 0)}
        return [(row, f"audio of take {take}") for row, take in takes], wanted


class FakeListener(FakeStage):
    """Finds the first two takes of some rows wanting."""

    def listen(self, takes, audio):
        assert [row for row, _ in takes] == [row for row, _ in audio]
        rows = {row for row, _ in takes}
        if rows & self.behavior.get("deadly_to_hear", set()):
            time.sleep(0.05)
            os._exit(1)
        if rows & self.behavior.get("endless_to_hear", set()):
            time.sleep(3_600)
        if rows & self.behavior.get("unheard_of", set()):
            raise RuntimeError("what was that")
        mumbled = self.behavior.get("mumbled", set())
        wanted = {row: {0: take + 1} for row, take in takes if row in mumbled and take < 2}
        return [(row, f"heard take {take}") for row, take in takes], wanted


class FakeWriter(FakeStage):
    def write(self, unit, rejections, kept, lease, only, *parts):
        time.sleep(self.behavior.get("slow_s", 0.0))
        heard = {}
        for audio in parts[1 :: self.behavior.get("num_results", 2)]:
            heard.update(audio)
        rejected = {str(row): 1 for row in rejections}
        examples = tuple((str(row), str(r.code), r.message) for row, r in sorted(rejections.items()))
        extra = tuple((str(row), "audio", text) for row, text in sorted(heard.items()))
        return UnitReceipt(unit.unit_id, len(heard), rejected, 0.0, 0, True, examples + extra)


def units(count, size=4):
    return [WorkUnit("s", size * n, size * n + size - 1) for n in range(count)]


FAKES = {Stage.LLM: FakeLLM, Stage.CODEC: FakeCodec, Stage.LISTENER: FakeListener, Stage.WRITER: FakeWriter}

LISTENING_STAGES = [replace(spec, actor=FAKES[spec.stage]) for spec in STAGES]
FAKE_STAGES = [spec for spec in LISTENING_STAGES if spec.stage != Stage.LISTENER]


def run(
    work,
    behavior=None,
    llm_count=1,
    on_tick=lambda: None,
    max_units=6,
    receipts=None,
    stages=FAKE_STAGES,
    **timeouts,
):
    behavior = behavior or {}
    receipts = [] if receipts is None else receipts
    pools = {}
    for spec in stages:

        def create(slot, spec=spec):
            own = {**behavior, **behavior.get(spec.stage, {})}
            return ray_api.create_actor(spec.actor, own, num_cpus=0.1, num_gpus=0.0, max_calls=2)

        pools[spec.stage] = Pool(spec.stage, create, llm_count if spec.stage == Stage.LLM else 1, 2)
    coordinator = Coordinator(
        stages,
        pools,
        max_units=max_units,
        max_crashes=2,
        lease=None,
        on_commit=receipts.append,
        on_tick=on_tick,
        **timeouts,
    )
    try:
        coordinator.start()
        coordinator.run(map(UnitPlanner(None, behavior.get("duplicates", {}), {}).plan, work))
    except BaseException:
        coordinator.drain(20.0)
        raise
    finally:
        for pool in pools.values():
            pool.close()
    return receipts


def reported(receipts):
    return {int(row): (code, message) for receipt in receipts for row, code, message in receipt.examples}
