"""report.html and jobs.status: the same numbers, hostile text harmless, no network; in a browser it sorts and plays."""

import hashlib
import io
import json
import re

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import jobs.report
import jobs.status
from pipeline.output.commit_file import build_commit_table, write_commit
from pipeline.output.histograms import MEASURES, Histogram
from pipeline.output.records import audio_path
from pipeline.output.report import MAX_REJECTED, _link, draw_plot, write_report
from pipeline.output.status import read_status
from pipeline.storage import open_storage
from tests.chromium import Chromium, find_chromium
from tests.outputs import begin_run, make_shard

HOSTILE = "</td><script>alert(1)</script>"


def wav(seconds=0.1):
    sink = io.BytesIO()
    soundfile.write(sink, np.full(round(seconds * 16_000), 0.25), 16_000, format="WAV", subtype="PCM_16")
    return sink.getvalue()


def make_output(folder, num_rows=12, rejected=(3,), num_committed=None, **columns):
    """Rows of one clip each; row 5 lasts 90 s, as its metadata say."""
    storage = open_storage(str(folder))
    begin_run(storage, [make_shard("s", num_rows)], unit_size=num_rows)
    clip = wav()
    digest = hashlib.sha256(clip).hexdigest()
    records = []
    for row in range(num_rows if num_committed is None else num_committed):
        record = {"utterance_id": f"u{row}", "speaker_id": "a", "text": HOSTILE, "shard": "s", "row": row}
        if row in rejected:
            record |= {"status": "rejected", "error_code": "no_speech", "error_message": HOSTILE}
        else:
            path = audio_path("s", f"u{row}", digest, "wav")
            storage.put(path, clip)
            record |= {"status": "ok", "audio_path": path, "audio_format": "wav", "audio_sha256": digest}
            record |= {"duration_s": 90.0 if row == 5 else 2.0 + row / 10}
            record |= {"rms_dbfs": -20.0, "chars_per_s": 15.0, "take": 0}
        records.append(record)
    table = pa.table({"utterance_id": [record["utterance_id"] for record in records], **columns})
    commit = write_commit(build_commit_table(records, table))
    storage.put(f"metadata/s/{0:09d}-{len(records) - 1:09d}.parquet", commit)
    return str(folder)


def make_report(root):
    """Make a run of one book with two chapters, one of them assembled, and its page."""
    chapters = pa.array([1] * 6 + [2] * 6, pa.int32())
    books = {
        "book_id": ["b%"] * 12,
        "book_title": ["A Book"] * 12,
        "chapter": chapters,
        "chapter_title": [HOSTILE] * 12,
    }
    output = make_output(f"{root}/out", **books)
    open_storage(f"{root}/made").put("b%25/001.wav", wav(1.0))
    assert jobs.report.main([output, "--chapters", f"{root}/made"]) == 0


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The folder of a report, and its page."""
    folder = tmp_path_factory.mktemp("report")
    make_report(folder)
    return folder, (folder / "out" / "report.html").read_text()


def test_the_page_says_what_status_says_and_marks_the_outlier(report, capsys):
    folder, page = report
    output = str(folder / "out")
    assert jobs.status.main([output]) == 0
    printed = capsys.readouterr().out
    assert jobs.status.main([output, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status == read_status(output)
    assert (status["num_ok"], status["rejected"], status["audio_s"]) == (11, {"no_speech": 1}, pytest.approx(115.8))
    assert "12 of 12 rows" in page and "in 11 clips" in page and "no_speech: 1" in page
    assert status["measures"]["duration_s"]["num_outliers"] == 1 == page.count('class="out"')
    assert "duration  median 2.7 s, 1 outlier(s)" in printed and "median 2.7, <span" in page
    (book,) = status["books"]
    assert [(found["chapter"], found["num_rows"], found["num_rejected"]) for found in book["chapters"]] == [
        (1, 6, 1), (2, 6, 0)
    ]  # fmt: skip
    assert "book      b%: 2 chapters, 12 rows, 1 rejected, 1 min 56 s" in printed
    assert page.index("duration 90.0 s, median 2.7") < page.index("far from the rest")


def test_hostile_text_is_no_markup(report):
    _, page = report
    assert page.count("<script>") == 1 and "&lt;script&gt;alert(1)" in page


def test_the_page_asks_the_network_for_nothing(report):
    _, page = report
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert "data:audio/wav;base64," in page
    assert 'src="../made/b%2525/001.wav"' in page and "not assembled" in page


def test_a_page_elsewhere_links_to_where_things_are(report, tmp_path):
    folder, _ = report
    page = write_report(str(folder / "out"), str(tmp_path / "page.html"), chapters=str(folder / "made"))
    (source,) = re.findall(r'src="([^"]*/001\.wav)"', open(page).read())
    assert (tmp_path / source.replace("%25", "%")).resolve() == (folder / "made" / "b%25" / "001.wav").resolve()
    page, near, far = (open_storage(uri) for uri in ("s3://one/out", "s3://one/made", "s3://two/made"))
    assert (_link(near, "b/1.wav", page), _link(far, "b/1.wav", page)) == ("../made/b/1.wav", None)


def test_an_unfinished_run_without_books_has_its_numbers_and_short_lists(tmp_path):
    output = make_output(tmp_path / "out", 1_000, range(1, 1_000), num_committed=999, chapter=["x"] * 999)
    page = open(write_report(output)).read()
    assert 'id="chapters"' not in page and "999 of 1,000 rows" in page and "unfinished" in page
    assert f"Listed are {MAX_REJECTED} of 998" in page and len(page) < 300_000


def test_a_plot_shows_every_value_and_marks_the_far_ones():
    histogram = Histogram(MEASURES[0])
    assert draw_plot(histogram)["bars"] == [] and histogram.summary() is None
    histogram.add(np.array([2.0, 2.1, 2.2, 2.3, 2.4] * 4 + [60.0, 500.0, np.nan]))
    plot = draw_plot(histogram)
    assert sum(int(bar["label"].rpartition(" ")[2]) for bar in plot["bars"]) == 22
    assert [bar["is_outlier"] for bar in plot["bars"] if bar["height"]] == [False, True, True]
    assert plot["summary"]["num_outliers"] == 2


PLAY = """(async () => {
  const player = document.querySelector("%s audio");
  await player.play();
  while (player.currentTime === 0) await new Promise(done => setTimeout(done, 20));
  return [player.error, player.duration];
})()"""
SORT = """(() => {
  const table = document.querySelector("#chapter-table");
  const read = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent).join();
  const button = table.querySelector("th:nth-child(6) button"), seen = [read()];
  button.click(); seen.push(read()); button.click(); seen.push(read());
  return [...seen, button.parentNode.ariaSort];
})()"""
FILTER = """(() => {
  const box = document.querySelector("[data-filter=doubtful-table]");
  box.value = "90.0 s"; box.dispatchEvent(new Event("input"));
  const shown = [...document.querySelectorAll("#doubtful-table tbody tr")].filter(row => row.offsetParent);
  return [shown.length, box.closest("p").querySelector("[role=status]").textContent];
})()"""


@pytest.fixture(params=["folder", "bucket"])
def report_url(request):
    """Where a browser finds the page: on the disk, or in a bucket that everybody may read."""
    if request.param == "folder":
        folder, _ = request.getfixturevalue("report")
        return (folder / "out" / "report.html").as_uri()
    store = request.getfixturevalue("seaweedfs")
    uri = store.new_uri()
    make_report(uri)
    return f"{store.endpoint_url}/{uri.removeprefix('s3://')}/out/report.html"


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_in_a_browser_it_opens_sorts_filters_and_plays(report_url, tmp_path):
    browser = Chromium(tmp_path / "profile", report_url)
    try:
        assert browser.evaluate(PLAY % "#chapters") == [None, pytest.approx(1.0, abs=0.01)]
        assert browser.evaluate(PLAY % "#doubtful") == [None, pytest.approx(0.1, abs=0.01)]
        # Chapter 1 has the clip of 90 s.
        assert browser.evaluate(SORT) == ["1,2", "2,1", "1,2", "descending"]
        assert browser.evaluate(FILTER) == [1, "1 of 11"]
        assert browser.evaluate("document.querySelectorAll('svg.wave path').length") == 11
        assert browser.problems == []
    finally:
        browser.close()
