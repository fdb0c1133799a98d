"""Snapshots read by other people's packages, from local disk and from a real S3 server."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.dataset.listing import iter_data_files
from pipeline.dataset.publish import publish
from pipeline.storage import open_storage
from tests.dataset.conftest import copy_corpus
from tests.dataset.corpora import NIGHTS
from tests.dataset.test_publish import with_publish

READERS = "needs the extra `readers`"
SIZES = {"train": 30, "validation": 3, "test": 3}


def files_of(corpus):
    """Addresses of the latest snapshot's files by split."""
    found = {}
    for split, address in iter_data_files(open_storage(corpus)):
        found.setdefault(split, []).append(address)
    return found


@pytest.fixture(scope="module")
def in_s3(pristine, seaweedfs, tmp_path_factory):
    """The corpus's copy in a store; published from a copy, as a corpus remembers where it was published."""
    uri, config = seaweedfs.new_uri(), copy_corpus(pristine, tmp_path_factory.mktemp("published") / "world")
    publish(config.corpus, NIGHTS[2], with_publish(config, to=uri))
    return uri


@pytest.fixture
def s3(in_s3, seaweedfs):
    return pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=seaweedfs.endpoint_url,
        region="us-east-1",
    )


def check_sound(audio, duration):
    info = soundfile.info(io.BytesIO(audio["bytes"]))
    assert (info.format, info.samplerate) == ("FLAC", 16_000) and info.duration == pytest.approx(duration)


@pytest.fixture(scope="module")
def loaded(pristine, tmp_path_factory):
    datasets = pytest.importorskip("datasets", reason=READERS)
    folder = Path(pristine.corpus) / "snapshots" / NIGHTS[2]
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path_factory.mktemp("cache")))


def test_datasets_loads_the_folder_with_its_splits_and_sound(loaded):
    import datasets

    assert {split: found.num_rows for split, found in loaded.items()} == SIZES
    assert isinstance(loaded["train"].features["audio"], datasets.Audio)
    for found in loaded.values():
        for row in found.cast_column("audio", datasets.Audio(decode=False)):
            check_sound(row["audio"], row["duration"])
            assert row["text"] and row["speaker"] and row["license"] and row["measures"]["rms_dbfs"] < 0


def test_the_snippet_of_the_documents_runs(pristine, monkeypatch, tmp_path, capsys):
    datasets = pytest.importorskip("datasets", reason=READERS)
    page = (Path(__file__).parents[2] / "docs/datasets.md").read_text()
    blocks = re.findall(r"^   ```python\n(.*?)^   ```", page, re.S | re.M)
    snippet = textwrap.dedent(next(block for block in blocks if "load_dataset" in block))
    monkeypatch.chdir(Path(pristine.corpus).parent)
    monkeypatch.setattr(datasets, "load_dataset", partial(datasets.load_dataset, cache_dir=str(tmp_path)))
    exec(compile(snippet, "docs/datasets.md", "exec"), {})
    assert capsys.readouterr().out.strip().endswith("0.5 s")


def test_datasets_decodes_the_sound_itself(loaded):
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        pytest.skip("`datasets` decodes sound with torchcodec, which is not installed or finds no FFmpeg")
    row = loaded["test"][0]
    samples = row["audio"].get_all_samples()
    assert samples.sample_rate == 16_000 and samples.duration_seconds == pytest.approx(row["duration"], abs=1e-3)


def test_lhotse_makes_cuts_of_it(loaded):
    lhotse = pytest.importorskip("lhotse", reason=READERS)
    import datasets

    # Bytes, which lhotse decodes by itself.
    split = loaded["train"].cast_column("audio", datasets.Audio(decode=False))
    rows = iter(split)
    cuts = []
    for row in rows:
        recording = lhotse.Recording.from_bytes(row["audio"]["bytes"], recording_id=row["id"])
        cut = recording.to_cut()
        supervision = lhotse.SupervisionSegment(
            row["id"], row["id"], 0.0, cut.duration, text=row["text"], speaker=row["speaker"], language=row["language"]
        )
        cut.supervisions = [supervision]
        cuts.append(cut)
    cuts = lhotse.CutSet.from_cuts(cuts)
    lhotse.validate(cuts)
    assert len(cuts) == 30 and cuts[0].load_audio().shape == (1, cuts[0].num_samples)


def test_pyarrow_reads_both_places(pristine, in_s3, s3):
    for corpus, filesystem in ((pristine.corpus, None), (in_s3, s3)):
        for split, paths in files_of(corpus).items():
            plain = [path.removeprefix("s3://") for path in paths]
            table = ds.dataset(plain, filesystem=filesystem).to_table()
            assert table.num_rows == SIZES[split]
            check_sound(table.column("audio")[0].as_py(), table.column("duration")[0].as_py())
    # A page is read without the rest.
    metadata = pq.read_metadata(files_of(pristine.corpus)["train"][0])
    assert metadata.row_group(0).column(0).has_column_index and metadata.row_group(0).num_rows <= 100


def test_polars_reads_both_places(pristine, in_s3, seaweedfs):
    polars = pytest.importorskip("polars", reason=READERS)
    options = {
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_endpoint_url": seaweedfs.endpoint_url,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    for corpus, storage_options in ((pristine.corpus, None), (in_s3, options)):
        scanned = polars.scan_parquet(files_of(corpus)["train"], storage_options=storage_options)
        frame = scanned.group_by("speaker").agg(polars.len(), polars.col("duration").sum()).collect()
        assert dict(frame.select("speaker", "len").rows()) == {"ada": 10, "iris": 10, "ross": 10}
        check_sound(scanned.select("audio").head(1).collect()["audio"][0], 0.5)


def test_duckdb_reads_both_places(pristine, in_s3, s3):
    duckdb = pytest.importorskip("duckdb", reason=READERS)
    paths = files_of(pristine.corpus)["train"]
    query = "select count(*), sum(octet_length(audio.bytes)) > 0, min(measures.rms_dbfs) < 0 from {}"
    assert duckdb.sql(query.format(f"read_parquet({paths!r})")).fetchall() == [(30, True, True)]
    # Its own extension for S3 is fetched at run time; Arrow reads the store here.
    stored = ds.dataset([path.removeprefix("s3://") for path in files_of(in_s3)["train"]], filesystem=s3)  # noqa: F841
    assert duckdb.sql(query.format("stored")).fetchall() == [(30, True, True)]


def test_webdataset_reads_the_tar_files(config, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason=READERS)
    publish(config.corpus, NIGHTS[2], with_publish(config, format="webdataset"))
    tars = sorted(map(str, Path(config.corpus).glob("snapshots/*/webdataset/train-*.tar")))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert len(samples) == 30 and {"flac", "txt", "json"} <= samples[0].keys()
    for sample in samples:
        facts = json.loads(sample["json"])
        assert sample["txt"].decode() == facts["text"]
        check_sound({"bytes": sample["flac"]}, facts["duration"])


def test_dslint_finds_no_fault_in_the_splits(pristine, tmp_path):
    """It takes one file a split, so that those of the nights are joined, without their sound."""
    command = shutil.which("dslint") or os.environ.get("DSLINT") or str(Path(sys.executable).parent / "dslint")
    if not Path(command).exists():
        pytest.skip("needs dslint, which wants an older huggingface_hub: install it apart and set DSLINT")
    for split, paths in files_of(pristine.corpus).items():
        table = pa.concat_tables(pq.read_table(path, columns=["id", "text", "duration", "speaker"]) for path in paths)
        pq.write_table(table, tmp_path / f"{split}.parquet")
    found = subprocess.run([command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
