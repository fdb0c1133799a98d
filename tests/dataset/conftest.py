"""A corpus of three nights, made once for all tests of data sets."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config.dataset import NightConfig
from tests.dataset.corpora import make_config, make_corpus
from tests.inline_ray import inline_ray


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    """For each file anew: what is set for a package lasts into the files of other packages that follow."""
    with inline_ray():
        yield


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, random_weights):
    """Three nights of twelve rows with a snapshot each; nobody changes it."""
    config = make_config(tmp_path_factory.mktemp("corpus"), random_weights)
    with inline_ray():
        make_corpus(config)
    return config


@pytest.fixture
def config(pristine, tmp_path):
    """A copy of them."""
    return copy_corpus(pristine, tmp_path / "world")


def copy_corpus(config, folder):
    """Copy a corpus with all around it; return its config there."""
    shutil.copytree(Path(config.corpus).parent, folder)
    raw = config.model_dump_json().replace(str(Path(config.corpus).parent), str(folder))
    return NightConfig.model_validate(json.loads(raw))
