"""Ray's calls without its processes: an actor is a few threads of the test's own, so that a run starts at once.

What passes is pickled as ever. What only processes show (deaths, hangs, placement) is tested on a real Ray, as is one
whole run, whose bytes these must give, too.
"""

import pickle
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pipeline.cluster import ray_api, trial_actor
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.synthesis.enrollment import Enroller
from pipeline.weights.weights import fingerprint_weights


def copy_of(value):
    return pickle.loads(ray.cloudpickle.dumps(value))


def resolve(argument):
    return argument.result() if isinstance(argument, Future) else argument


class InlineRay:
    """Stands for the module `ray`; references are futures.

    Args:
        replaced: actor classes to use in place of others.
        resources: of its one node.
    """

    def __init__(self, replaced=None, resources=None):
        self.replaced = replaced or {}
        self.resources = resources or {"CPU": 4.0}
        self.is_alive = True
        self._private = SimpleNamespace(
            state=SimpleNamespace(
                actors=lambda actor_id: {}, available_resources_per_node=lambda: {"own": self.resources}
            )
        )
        self.util = SimpleNamespace(
            metrics=SimpleNamespace(Counter=Silence, Gauge=Silence),
            placement_group=lambda bundles, **_: SimpleNamespace(id=SimpleNamespace(hex=lambda: "group")),
            placement_group_table=lambda: {"group": {"state": "CREATED", "bundles_to_node_id": {0: "own"}}},
            remove_placement_group=lambda group: None,
        )

    def remote(self, **_):
        return lambda actor_class: InlineActorClass(self.replaced.get(actor_class, actor_class))

    def is_initialized(self):
        return True

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "own")

    def nodes(self):
        return [{"NodeID": "own", "Alive": self.is_alive, "Resources": self.resources}]

    def put(self, value):
        reference = Future()
        reference.set_result(copy_of(value))
        return reference

    def get(self, reference, timeout=None):
        return reference.result(timeout)

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
        result = self.threads.submit(self.work, sent)
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

    def work(self, arguments):
        try:
            return copy_of(self.function(*map(resolve, arguments)))
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(self.function.__name__, "Traceback ...", error).as_instanceof_cause() from None


class InlineActor:
    def __init__(self, actor_class, arguments, max_concurrency):
        self._actor_id = b""
        self.threads = ThreadPoolExecutor(max_concurrency)
        self.replica = actor_class(*map(resolve, arguments))

    def __getattr__(self, name):
        return InlineCall(getattr(self.replica, name), self.threads)


class InlineActorClass:
    def __init__(self, actor_class, max_concurrency=1):
        self.actor_class, self.max_concurrency = actor_class, max_concurrency

    def options(self, max_concurrency, **_):
        return InlineActorClass(self.actor_class, max_concurrency)

    def remote(self, *arguments):
        return InlineActor(self.actor_class, arguments, self.max_concurrency)


class Silence:
    """In place of Ray's metrics, which need a cluster."""

    def __init__(self, *_):
        pass

    def __getattr__(self, name):
        return lambda *_: None


# Most of a tiny network's start are its vocabulary and its voices: each is made once for all that it follows from.
_load_vocabulary, _create_voice = SpeechVocabulary.load, Enroller.create_voice
_voices = {}


@lru_cache(maxsize=4)
def _load_vocabulary_of(llm_dir, content):
    return _load_vocabulary(llm_dir)


def load_vocabulary_once(llm_dir):
    path = Path(llm_dir) / "tokenizer.json"
    return _load_vocabulary_of(llm_dir, path.read_bytes()) if path.is_file() else _load_vocabulary(llm_dir)


def create_voice_once(enroller, *labels):
    config = enroller._config
    key = (fingerprint_weights(enroller._weights_dir), repr(config.llm), repr(config.sampling), *labels)
    if key not in _voices:
        _voices[key] = _create_voice(enroller, *labels)
    return _voices[key]


@contextmanager
def inline_ray(module=None):
    """Let runs use threads of this process while the block runs, and dry runs measure for a moment only.

    What was loaded or enrolled already is not made again.

    Args:
        module: in place of an `InlineRay`.
    """
    num_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_api, "ray", module or InlineRay())
        patch.setattr(ray_api, "_killed", [])  # Inline replicas are large.
        # What a dry run tries the networks for; a figure of a speed is worth no seconds here.
        patch.setattr(trial_actor, "_MAX_LLM_S", 0.2)
        patch.setattr(trial_actor, "_MAX_CODEC_AUDIO_S", 1.0)
        patch.setattr(trial_actor, "_ROOM_S", 0.1)
        patch.setattr(SpeechVocabulary, "load", staticmethod(load_vocabulary_once))
        if Enroller.create_voice is _create_voice:  # A test may have put its own in.
            patch.setattr(Enroller, "create_voice", create_voice_once)
        yield
    torch.set_num_threads(num_threads)
