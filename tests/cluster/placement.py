"""What a process does that has a Ray cluster of several nodes to itself; nodes with GPUs that are none."""

import logging
import os
import signal
import sys
import time
from dataclasses import replace

import ray
from ray.cluster_utils import Cluster

from pipeline.cluster import ray_api
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.places import Places
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.run_units import start_pools
from pipeline.cluster.work_items import Stage, UnitState
from pipeline.config.run import parse_config
from pipeline.manifest.units import WorkUnit
from pipeline.output.row_counts import UnitReceipt
from tests.cluster import fake_stages
from tests.cluster.fake_stages import FakeCodec, FakeLLM, FakeWriter

# Ray's workers cannot import this module: its actors travel by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
LONGEST_S = 300.0
MAX_UNITS = 4
_MEMORY = 80 * 1024 * 1024


class PlacedCodec(FakeCodec):
    """Its audio says where it was made."""

    def decode(self, takes):
        return [(0, ray_api.own_node_id())], {}


class PlacedWriter(FakeWriter):
    """Its receipt says where the audio was made, and where it was written."""

    def write(self, unit, rejections, kept, lease, only, *parts):
        return UnitReceipt(unit.unit_id, 1, {}, 0.0, 0, True, ((parts[1][0][1], ray_api.own_node_id(), ""),))


PLACES = ("weights", "manifest", "speakers", "output")
FAKES = {Stage.LLM: FakeLLM, Stage.CODEC: PlacedCodec, Stage.WRITER: PlacedWriter}
# There is always room at hand: with few units in flight, none has to go elsewhere.
STAGES = [
    replace(spec, actor=FAKES[spec.stage], max_calls=lambda replicas: MAX_UNITS)
    for spec in fake_stages.STAGES
    if spec.stage in FAKES
]


class Words(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def emit(self, record):
        self.heard.append(record.getMessage())


class PlacedRun:
    """A run of fake stages over a real cluster, by the plan, the places and the pools of a real run."""

    def __init__(self, replicas):
        self.config = parse_config({**dict.fromkeys(PLACES, "-"), "replicas": replicas})
        self.replicas = self.config.replicas
        self.behavior = {}
        self.started = []
        """Stage, node, card and process of each replica that became ready."""
        self.receipts = []
        self.on_tick = lambda: None

    def run(self, go_on, before_start=lambda places: None, order=STAGES):
        """Commit units as long as `go_on()` says so; replicas are asked for in an order of stages."""
        plan = plan_replicas(self.config)
        needs = {spec.stage: spec.settings(self.replicas) for spec in STAGES}
        words, deadline = Words(), time.monotonic() + LONGEST_S
        logging.getLogger("pipeline").addHandler(words)

        def units():
            number = 0
            while go_on():
                yield UnitState(WorkUnit("s", number, number), {})
                number += 1

        def tick():
            assert time.monotonic() < deadline, "no progress"
            self.on_tick()

        with Places(plan.groups, needs, NodeHealth()) as places:
            before_start(places)
            pools = self.pools = start_pools(order, self.replicas, plan.counts, places, self.behavior)
            coordinator = Coordinator(
                STAGES, pools, max_units=MAX_UNITS, max_crashes=9, lease=None, on_commit=self.receipts.append,
                on_tick=tick,
                on_start=lambda stage, info: self.started.append((str(stage), info.node_id, info.device, info.pid)),
            )  # fmt: skip
            try:
                coordinator.start()
                coordinator.run(units())
            finally:
                for pool in pools.values():
                    pool.close()
        logging.getLogger("pipeline").removeHandler(words)
        states = {entry["state"] for entry in ray.util.placement_group_table().values()}
        return {"started": self.started, "num_units": len(self.receipts), "words": words.heard, "groups": states}


PAIRS = {"llm": (0.5, 0.7), "codec": (0.5, 0.3), "writer": (0.25, 0.0)}


def pairs(count):
    return {stage: {"count": count, "num_cpus": cpus, "num_gpus": gpus} for stage, (cpus, gpus) in PAIRS.items()}


def add_node(cluster, cpus, gpus):
    return cluster.add_node(num_cpus=cpus, num_gpus=gpus, object_store_memory=_MEMORY)


def see_everything():
    """Go through all scenarios on one cluster, whose head has no room."""
    os.environ.update(RAY_IGNORE_UNHANDLED_ERRORS="1", RAY_worker_niceness="0")
    head = {"num_cpus": 0, "object_store_memory": _MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        add_node(cluster, 4, 2)
        second = add_node(cluster, 4, 1)
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
        return {"harmed": harm_a_full_cluster(cluster, second), "sick": meet_a_sick_node()}
    finally:
        ray.shutdown()
        cluster.shutdown()


def harm_a_full_cluster(cluster, second):
    """Kill a language model; then take the second node away and, once that is known, bring another.

    Codecs are asked for first: their shares would spread over the cards. While all are well, writers of the first
    language model's node come last.
    """
    run = PlacedRun(pairs("auto"))
    calm, harm = [], {}

    def do_harm():
        if len(run.started) < 9:
            return
        if not calm:
            home = run.pools[Stage.LLM].replicas[0].node_id
            run.pools[Stage.WRITER].replicas.sort(key=lambda replica: replica.node_id == home)
            # Some units are under way whose audio was made before all replicas were there.
            first = len(run.receipts) + MAX_UNITS
            calm.append(slice(first, first + 20))
        if not harm and len(run.receipts) >= calm[0].stop:
            harm["killed"] = next(entry for entry in run.started if entry[0] == "llm" and entry[1] != second.node_id)
            os.kill(harm["killed"][3], signal.SIGKILL)
        if len(run.started) == 10 and "lost" not in harm:
            harm["lost"] = second.node_id
            cluster.remove_node(second, allow_graceful=True)
        elif "lost" in harm and "new" not in harm and harm["lost"] not in ray_api.total_resources():
            harm["new"] = add_node(cluster, 4, 1).node_id

    run.on_tick = do_harm
    llm, codec, writer = STAGES
    result = run.run(lambda: len(run.started) < 13, order=(codec, writer, llm))
    return {**result, **harm, "ways": [receipt.examples[0][:2] for receipt in run.receipts[calm[0]]]}


def meet_a_sick_node():
    """Nothing starts on the node where the only pair is placed first; another one has room."""
    run = PlacedRun(pairs(1))

    def find_sick(places):
        reservations = [place.reservation for place in places._places]
        while (node := ray_api.locate_groups(reservations)[0]) is None:
            time.sleep(0.1)
        run.behavior["sick_node"] = node

    result = run.run(lambda: len(run.receipts) < 20, before_start=find_sick)
    return {**result, "sick": run.behavior["sick_node"]}
