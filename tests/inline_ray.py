"""Ray's calls without its processes: an actor is a few threads of the test's own, so that a run starts at once.

What passes is pickled as ever. What only processes show (deaths, hangs, placement) is tested on a real Ray, as is one
whole run, whose bytes these must give, too.
"""

import pickle
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
import ray
import torch

from pipeline import run
from pipeline.cluster import coordinator, enrollment, pools, ray_cluster, replay_actor, supervised
from pipeline.cluster.codec_actor import CodecActor
from pipeline.cluster.enrollment import EnrollmentActor
from pipeline.cluster.llm_actor import LLMActor
from pipeline.cluster.replay_actor import ReplayActor
from pipeline.cluster.writer_actor import WriterActor


def copy_of(value):
    return pickle.loads(ray.cloudpickle.dumps(value))


def resolve(argument):
    return argument.result() if isinstance(argument, Future) else argument


class InlineRay:
    """Stands for the module `ray`; references are futures."""

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 4.0}

    def put(self, value):
        reference = Future()
        reference.set_result(copy_of(value))
        return reference

    def get(self, reference):
        return reference.result()

    def wait(self, references, num_returns=1, timeout=None):
        done = wait(references, timeout, FIRST_COMPLETED).done
        ready = [reference for reference in references if reference in done][:num_returns]
        return ready, [reference for reference in references if reference not in ready]

    def kill(self, actor, no_restart=True):
        actor.threads.shutdown(wait=False, cancel_futures=True)


class InlineCall:
    def __init__(self, function, threads, num_returns=1):
        self.function, self.threads, self.num_returns = function, threads, num_returns

    def options(self, num_returns=1, **_):
        return InlineCall(self.function, self.threads, num_returns)

    def remote(self, *arguments):
        sent = [argument if isinstance(argument, Future) else copy_of(argument) for argument in arguments]
        result = self.threads.submit(lambda: copy_of(self.function(*map(resolve, sent))))
        if self.num_returns == 1:
            return result
        parts = [Future() for _ in range(self.num_returns)]

        def share(ended):
            for index, part in enumerate(parts):
                if ended.cancelled() or ended.exception() is not None:
                    part.set_exception(ended.exception() if not ended.cancelled() else RuntimeError("killed"))
                else:
                    part.set_result(ended.result()[index])

        result.add_done_callback(share)
        return parts


class InlineActor:
    def __init__(self, actor_class, arguments, max_concurrency):
        self.threads = ThreadPoolExecutor(max_concurrency)
        self.replica = actor_class(*map(resolve, arguments))

    def __getattr__(self, name):
        return InlineCall(getattr(self.replica, name), self.threads)


class InlineActorClass:
    def __init__(self, remote_class, max_concurrency=1):
        self.remote_class, self.max_concurrency = remote_class, max_concurrency

    def options(self, max_concurrency, **_):
        return InlineActorClass(self.remote_class, max_concurrency)

    def remote(self, *arguments):
        return InlineActor(self.remote_class.__ray_metadata__.modified_class, arguments, self.max_concurrency)


class Silence:
    """In place of Ray's metrics, which need a cluster."""

    def __init__(self, *_):
        pass

    def __getattr__(self, name):
        return lambda *_: None


@contextmanager
def inline_ray():
    """Let runs use threads of this process while the block runs."""
    num_threads, module = torch.get_num_threads(), InlineRay()
    with pytest.MonkeyPatch.context() as patch:
        for user in (ray_cluster, run, coordinator, supervised, pools):
            patch.setattr(user, "ray", module)
        actors = {"llm": LLMActor, "codec": CodecActor, "writer": WriterActor}
        patch.setattr(run, "_ACTORS", {stage: InlineActorClass(actor) for stage, actor in actors.items()})
        patch.setattr(enrollment, "EnrollmentActor", InlineActorClass(EnrollmentActor))
        patch.setattr(replay_actor, "ReplayActor", InlineActorClass(ReplayActor))
        patch.setattr("pipeline.cluster.metrics.Counter", Silence)
        patch.setattr("pipeline.cluster.metrics.Gauge", Silence)
        yield
    torch.set_num_threads(num_threads)
