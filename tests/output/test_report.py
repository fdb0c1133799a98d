"""report.html and jobs.status: the same numbers, hostile text harmless, no network; in a browser rows are found."""

import hashlib
import io
import json
import re
import shutil
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import jobs.report
import jobs.status
from pipeline.config.printable import _UNFIT, printable
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table, write_commit
from pipeline.output.commit_log import CommitLog
from pipeline.output.histograms import MEASURES, Histogram
from pipeline.output.records import AUDIO_COLUMN, COMMIT_SCHEMA, audio_path, pack_clip
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.report import data, rows, sounds, write_report
from pipeline.output.report.page import draw_plot, link_to
from pipeline.output.report.sounds import SPECTRUM_HEIGHT, SPECTRUM_WIDTH, WAVE_WIDTH, draw_samples
from pipeline.output.status import read_status
from pipeline.storage import open_storage
from tests.chromium import Chromium, find_chromium
from tests.outputs import begin_run, make_shard

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\u202e\x07\x9b"
NUM_ROWS = 60


def wav(seconds=0.1, hz=1_000):
    sink = io.BytesIO()
    samples = 0.25 * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16_000)) / 16_000)
    soundfile.write(sink, samples, 16_000, format="WAV", subtype="PCM_16")
    return sink.getvalue()


def make_output(folder, num_rows=NUM_ROWS, *, odd=True, num_committed=None, is_packed=False, speakers="ab", **columns):
    """Rows of one clip each, by two speakers; if odd, 3 is rejected, 5 is long, 8 was taken again, 9 has a note."""
    storage = open_storage(str(folder))
    begin_run(storage, [make_shard("s", num_rows)], unit_size=num_rows, weights="demo", output="s3://key:pass@host/x")
    records = []
    for row in range(num_rows if num_committed is None else num_committed):
        record = {
            "utterance_id": f"u{row}",
            "speaker_id": speakers[row % 2],
            "text": f"Line {row}. {HOSTILE}",
            "shard": "s",
        }
        record |= {"row": row, "language": "en" if row < 50 else "zh"}
        if odd and row == 3:
            record |= {"status": "rejected", "error_code": "no_speech", "error_message": f"=1+1, {HOSTILE}"}
        else:
            clip = wav(hz=1_000 + 10 * row)
            record |= {"status": "ok", "audio_format": "wav", "audio_sha256": hashlib.sha256(clip).hexdigest()}
            if is_packed:
                record[AUDIO_COLUMN], _ = pack_clip(f"u{row}", clip, "wav")
            else:
                record["audio_path"] = audio_path("s", f"u{row}", record["audio_sha256"], "wav")
                storage.put(record["audio_path"], clip)
            record |= {"duration_s": 90.0 if odd and row == 5 else 2.0 + row / 100, "take": int(odd and row == 8)}
            record |= {"rms_dbfs": -20.0, "chars_per_s": 15.0, "quality_note": "unread" if odd and row == 9 else None}
            record |= {"created_at": 1_764_460_800_000_000 + row * 10**6, "wer": 0.1, "seed": 2**62 + row}
        records.append(record)
    table = pa.table({"utterance_id": [record["utterance_id"] for record in records], **columns})
    commit = write_commit(build_commit_table(records, table, is_packed=is_packed))
    storage.put(f"metadata/s/{0:09d}-{len(records) - 1:09d}.parquet", commit)
    return str(folder)


def make_report(root):
    """Make a run of one book with two chapters, one of them assembled, and its page."""
    books = {
        "book_id": ["b%"] * NUM_ROWS,
        "book_title": ["A Book"] * NUM_ROWS,
        "chapter": pa.array([1] * 6 + [2] * (NUM_ROWS - 6), pa.int32()),
        "chapter_title": [HOSTILE] * NUM_ROWS,
    }
    output = make_output(f"{root}/out", **books)
    open_storage(f"{root}/made").put("b%25/001.wav", wav(1.0))
    assert jobs.report.main([output, "--chapters", f"{root}/made"]) == 0


def data_of(page):
    """What a page says of its data, and the rows that it holds."""
    about = json.loads(re.search(r'id="about">(.*?)</script>', page).group(1))
    found = [json.loads(value) for value in re.findall(r'^pageData\("rows",\d+,(.*)\);$', page, re.MULTILINE)]
    return about, found


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
    assert (status["num_ok"], status["rejected"]) == (59, {"no_speech": 1})
    assert "60 of 60 rows" in page and "in 59 clips" in page and "no_speech: 1" in page
    assert status["measures"]["duration_s"]["num_outliers"] == 1 == page.count('class="out"')
    assert "duration  median 2.3 s, 1 outlier(s)" in printed and "median 2.3, <span" in page
    (book,) = status["books"]
    assert [(found["chapter"], found["num_rows"], found["num_rejected"]) for found in book["chapters"]] == [
        (1, 6, 1), (2, 54, 0)
    ]  # fmt: skip


def test_every_row_is_there_and_only_what_is_odd_is_doubtful(report):
    about, (columns,) = data_of(report[1])
    assert about["num_rows"] == 60 and columns["id"] == [f"u{row}" for row in range(60)]
    assert columns["text"][7] == f"Line 7. {HOSTILE}" and columns["seed"][7] == str(2**62 + 7)
    assert about["doubtful"] == [5, 8, 9]
    assert [why for why in columns["why"] if why] == ["duration 90.0 s, median 2.3", "take 2", "unread"]
    flags = {row: flag for row, flag in enumerate(columns["flags"]) if flag}
    assert flags == {5: rows.OUTLIER, 8: rows.RETAKEN, 9: rows.NOTED}


def test_no_good_row_stands_accused(tmp_path):
    page = open(write_report(make_output(tmp_path / "out", 10, odd=False))).read()
    assert "None: no clip is an outlier" in page and data_of(page)[0]["doubtful"] == []
    assert "too few clips to tell outliers" in page and 'class="out"' not in page


def test_hostile_text_is_no_markup(report):
    _, page = report
    assert page.count("<script") == page.count("</script>") == 4
    assert "&lt;script&gt;alert(1)" in page and "\\u003cscript>alert(1)" in page and "<img" not in page
    assert "\u2028" not in page.partition('id="about"')[2]


def test_what_nobody_sees_is_written_as_an_escape(report):
    _, page = report
    assert printable(page) == page, "neither in its texts nor in its scripts"
    assert "onerror=alert(2)&gt;\\u2028\\u202e\\x07\\x9b</td>" in page, "as on a terminal"
    script = files("pipeline.output.report") / "page.js"
    assert f"/[{_UNFIT}]/gu" in script.read_text(), "the same characters as on a terminal"


def test_the_page_asks_the_network_for_nothing_and_knows_no_credentials(report):
    _, page = report
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert "data:audio/wav;base64," in page
    assert 'src="../made/b%2525/001.wav"' in page and "not assembled" in page
    assert "key:pass" not in page and "s3://...@host/x" in page


def test_a_page_elsewhere_links_to_where_things_are(report, tmp_path):
    folder, _ = report
    page = write_report(str(folder / "out"), str(tmp_path / "page.html"), chapters=str(folder / "made"))
    (source,) = re.findall(r'src="([^"]*/001\.wav)"', open(page).read())
    assert (tmp_path / source.replace("%25", "%")).resolve() == (folder / "made" / "b%25" / "001.wav").resolve()
    about, (columns,) = data_of(open(page).read())
    assert (tmp_path / about["base"] / columns["path"][0]).resolve().is_file()
    page, near, far = (open_storage(uri) for uri in ("s3://one/out", "s3://one/made", "s3://two/made"))
    assert (link_to(near, "b/1.wav", page), link_to(far, "b/1.wav", page)) == ("../made/b/1.wav", None)


def test_an_unfinished_run_without_books_has_its_numbers(tmp_path):
    output = make_output(tmp_path / "out", 1_000, num_committed=99, chapter=["x"] * 99)
    page = open(write_report(output, clips_mb=0)).read()
    assert 'id="chapters"' not in page and "99 of 1,000 rows" in page and "interrupted" in page


@pytest.fixture
def little_room(monkeypatch):
    """Rows come in scripts of 20 and, as clips do, beside the page."""
    monkeypatch.setattr(data, "_MOST_WITHIN", {"rows": 100, "clips": 100, "pictures": 100})
    monkeypatch.setattr(rows, "_ROWS_IN_SCRIPT", 20)
    monkeypatch.setattr(sounds, "_CHARS_IN_SCRIPT", 50_000)


def test_what_is_large_lies_beside_and_the_next_page_replaces_it(tmp_path, little_room):
    """Rows of one commit stay together."""
    storage = open_storage(make_output(tmp_path / "out"))
    page = open(write_report(storage.uri)).read()
    names = sorted(info.path for info in storage.list("report-data/"))
    scripts = {kind: [about["src"] for about in found] for kind, found in data_of(page)[0]["data"].items()}
    assert names == sorted(scripts["rows"] + scripts["clips"]) and len(scripts["clips"]) > 1
    assert "alert(1)" not in page and b"\\u003cscript>alert(1)" in storage.get(scripts["rows"][0])
    assert storage.get(scripts["rows"][0]).startswith(b'pageData("rows",0,{')
    storage.put("report-data/mine.txt", b"notes")
    write_report(storage.uri, clips_mb=0)
    left = {info.path for info in storage.list("report-data/")}
    assert left - {"report-data/mine.txt"} != {*names} and not left & {*scripts["clips"]}
    assert "report-data/mine.txt" in left and any("pictures" in path for path in left)


def test_a_drawing_shows_when_and_how_high():
    samples = np.zeros(32_000, np.float32)
    samples[16_000:] = 0.5 * np.sin(2 * np.pi * 2_000 * np.arange(16_000) / 16_000)
    drawing = draw_samples(samples)
    wave, levels = drawing[:WAVE_WIDTH], drawing[WAVE_WIDTH:].reshape(SPECTRUM_WIDTH, SPECTRUM_HEIGHT)
    assert not wave[:99].any() and (wave[101:] > 250).all()
    assert not levels[:45].any() and set(levels[55:].argmax(axis=1)) <= {11, 12}  # 2 of 8 kHz.
    assert not draw_samples(np.zeros(100, np.float32)).any()


def test_a_plot_shows_every_value_and_marks_the_far_ones():
    histogram = Histogram(MEASURES[0])
    assert draw_plot(histogram)["bars"] == [] and histogram.summary() is None
    histogram.add(np.array([2.0, 2.1, 2.2, 2.3, 2.4] * 4 + [60.0, 500.0, np.nan]))
    plot = draw_plot(histogram)
    assert sum(int(bar["label"].rpartition(" ")[2]) for bar in plot["bars"]) == 22
    assert [bar["is_outlier"] for bar in plot["bars"] if bar["height"]] == [False, True, True]
    assert plot["summary"]["num_outliers"] == 2


# --- In a browser

PLAY = """(async () => {
  const player = document.querySelector("%s audio");
  await player.play();
  while (player.currentTime === 0) await new Promise(done => setTimeout(done, 20));
  return [player.error, player.duration];
})()"""
ONE_AT_A_TIME = """(async () => {
  const [first, second] = document.querySelectorAll("#row-table audio");
  first.loop = second.loop = true;
  await first.play(); await second.play();
  const found = [first.paused, second.paused];
  second.pause();
  return found;
})()"""
SORT = """(() => {
  const table = document.querySelector("#chapter-table");
  const read = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent).join();
  const button = table.querySelector("th:nth-child(6) button"), seen = [read()];
  button.click(); seen.push(read()); button.click(); seen.push(read());
  return [...seen, button.parentNode.ariaSort];
})()"""
SHOWN = """[...document.querySelectorAll("#row-table tbody tr:not(.detail)")].map(row => row.cells[0].textContent)"""
SET = """((id, value) => {
  const box = document.getElementById(id);
  box.value = value;
  for (const kind of ["input", "change"]) box.dispatchEvent(new Event(kind));
})(%s)"""
SORT_ROWS = """((title) => [...document.querySelectorAll("#row-table th button")]
  .find(button => button.textContent === title).click())(%s)"""
OPEN = """document.querySelectorAll("#row-table tbody tr:not(.detail) button")[%d].click()"""
DRAWN = """[...document.querySelectorAll("#row-table canvas")].map(canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0, light = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 128) {
    inked++;
    light += data[i] + data[i + 1] + data[i + 2];
  }
  return [inked / (data.length / 4), light / inked / 765];
})"""
SAVE = """(async () => {
  let blob, name;
  URL.createObjectURL = made => { blob = made; return "#"; };
  HTMLAnchorElement.prototype.click = function () { name = this.download; };
  document.getElementById("save-rejected").click();
  while (!name) await new Promise(done => setTimeout(done, 20));
  return [name, await blob.text()];
})()"""
MISSING = """[...document.querySelectorAll(".missing")].map(found => found.textContent)"""
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("browser") / "profile", "about:blank")
    yield browser
    browser.close()


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


@needs_chromium
def test_in_a_browser_it_opens_sorts_filters_and_plays(report_url, browser):
    browser.look()
    browser.open(report_url)
    browser.wait_for("document.querySelector('#row-table audio') && document.querySelector('#doubtful audio')")
    assert browser.evaluate(PLAY % "#chapters") == [None, pytest.approx(1.0, abs=0.01)]
    assert browser.evaluate(PLAY % "#doubtful") == [None, pytest.approx(0.1, abs=0.01)]
    assert browser.evaluate(ONE_AT_A_TIME) == [True, False]
    # Chapter 2 has more audio.
    assert browser.evaluate(SORT) == ["1,2", "1,2", "2,1", "descending"]
    browser.evaluate(OPEN % 0)
    browser.wait_for("document.querySelector('.detail figure p').textContent.includes('frequencies')")
    wave, spectrogram = browser.evaluate(DRAWN)
    assert 0.3 < wave[0] < 1 and 0 < spectrogram[0] < 0.3
    assert browser.evaluate("document.querySelector('.detail dl').textContent").count(printable(HOSTILE)) == 1
    assert browser.problems == []


@needs_chromium
def test_rows_are_found_paged_and_saved(report, browser):
    browser.look()
    browser.open((report[0] / "out" / "report.html").as_uri())
    browser.wait_for("document.querySelector('#row-table audio')")

    def find(**values):
        browser.evaluate("document.querySelector('form').reset()")
        for name, value in values.items():
            browser.evaluate(SET % f"{json.dumps(name)}, {json.dumps(value)}")
        browser.evaluate("new Promise(done => setTimeout(done, 250))")
        return browser.evaluate(SHOWN)

    assert find() == [f"u{row}" for row in range(25)]
    browser.evaluate("document.getElementById('next').click()")
    assert browser.evaluate(SHOWN) == [f"u{row}" for row in range(25, 50)]
    browser.evaluate(SET % '"page", "3"')
    assert browser.evaluate(SHOWN) == [f"u{row}" for row in range(50, 60)]
    assert find(search="LINE 7.") == ["u7"] and find(search="<img src=x")[:2] == ["u0", "u1"]
    assert find(speaker="b", language="zh") == ["u51", "u53", "u55", "u57", "u59"]
    assert find(status="rejected") == find(status="rejected/no_speech") == ["u3"]
    assert (find(doubt="1"), find(doubt="4"), find(doubt="15")) == (["u5"], ["u8"], ["u5", "u8", "u9"])
    assert (
        find(doubt="2") == [] and browser.evaluate("document.getElementById('found').textContent") == "0 of 60 rows. "
    )
    find()
    for _ in range(2):
        browser.evaluate(SORT_ROWS % '"Audio"')
    assert browser.evaluate(SHOWN)[:3] == ["u5", "u59", "u58"]
    browser.evaluate(SORT_ROWS % '"Id"')
    assert browser.evaluate(SHOWN)[:3] == ["u0", "u1", "u2"]
    browser.evaluate("document.querySelector('[data-speaker=b]').click()")
    assert browser.evaluate(SHOWN)[:3] == ["u1", "u3", "u5"]
    name, text = browser.evaluate(SAVE)
    assert name == "rejected.csv" and text.splitlines()[0].endswith("id,speaker,language,code,message,text,shard,row")
    assert '"u3","b","en","no_speech","\'=1+1, </td>' in text and text.count("no_speech") == 1
    assert browser.problems == []


@needs_chromium
def test_it_is_readable_on_any_screen_light_and_dark(report, browser):
    browser.open((report[0] / "out" / "report.html").as_uri())
    browser.wait_for("document.querySelector('#row-table audio')")
    browser.evaluate(OPEN % 0)
    browser.wait_for("document.querySelector('.detail figure p').textContent.includes('frequencies')")
    inks = {}
    for scheme in ("light", "dark"):
        for width in (320, 390, 768, 1_120, 1_280):
            browser.look(width, scheme)
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, scheme)
            # Nor does a part of the page scroll to the side.
            wide = "[...document.querySelectorAll('section')].filter(part => part.scrollWidth > part.clientWidth + 1)"
            assert browser.evaluate(f"{wide}.map(part => part.id)") == [], (width, scheme)
        inks[scheme] = [browser.evaluate("getComputedStyle(document.body).backgroundColor"), *browser.evaluate(DRAWN)]
    assert inks["light"][0] == "rgb(246, 247, 249)" and inks["dark"][0] == "rgb(20, 24, 30)"
    assert inks["light"][2][1] < 0.3 and inks["dark"][2][1] > 0.8, "the spectrogram's ink follows"


@needs_chromium
def test_a_copy_says_what_is_missing(tmp_path, little_room, browser):
    output = tmp_path / "out"
    make_output(output)
    write_report(str(output), clips_mb=0)
    (tmp_path / "alone").mkdir()
    shutil.copy(output / "report.html", tmp_path / "alone")
    shutil.copytree(output / "report-data", tmp_path / "silent" / "report-data")
    shutil.copy(output / "report.html", tmp_path / "silent")

    def open_page(folder, selector):
        browser.look()
        browser.open((folder / "report.html").as_uri())
        browser.wait_for(f"document.querySelector('{selector}')")

    open_page(output, "#row-table audio")
    browser.evaluate(OPEN % 1)
    browser.wait_for("document.querySelector('.detail figure p').textContent.includes('Frequencies')")
    assert 0.3 < browser.evaluate(DRAWN)[0][0] < 1 and browser.evaluate(MISSING) == []
    open_page(tmp_path / "alone", ".missing")
    assert all(
        re.match(r"Missing: report-data/rows-0000-\w+\.js\. Copy the folder report-data/", text)
        for text in browser.evaluate(MISSING)
    )
    open_page(tmp_path / "silent", "#row-table .missing")
    browser.wait_for("!document.querySelector('audio')")
    assert browser.evaluate(MISSING)[-1].startswith("Missing: audio/s/u24.") and len(browser.evaluate(MISSING)) == 27


def redo(output, row, clip):
    """Replace a row's take, as a writer does."""
    storage, unit = open_storage(output), WorkUnit("s", 0, NUM_ROWS - 1)
    log = CommitLog(storage)
    (record,) = log.read_commit(unit).slice(row, 1).select(COMMIT_SCHEMA.names).to_pylist()
    record["audio_path"], record["audio_sha256"] = log.put_audio("s", f"u{row}", clip, "wav")
    record |= {"take": 1, "duration_s": 1.5}
    ReplacedTakes(storage).keep(unit, [record])
    log.amend(unit, [record])


@needs_chromium
def test_a_take_is_compared_with_the_one_before_a_redo(tmp_path, browser):
    output = make_output(tmp_path / "out")
    redo(output, 7, wav(0.2))
    page = write_report(output)
    about, (columns,) = data_of(open(page).read())
    assert columns["before"][7]["seconds"] == 2.07 and columns["seconds"][7] == 1.5
    assert columns["flags"][7] & rows.REDONE and -8 in about["data"]["clips"][0]["of"]
    browser.look(390)
    browser.open(f"file://{page}")
    browser.wait_for("document.querySelector('#row-table audio')")
    browser.evaluate(SET % '"doubt", "16"')
    assert browser.evaluate(SHOWN) == ["u7"]
    browser.evaluate(OPEN % 0)
    browser.wait_for("document.querySelectorAll('.detail audio').length === 2")
    browser.wait_for("[...document.querySelectorAll('.detail figure > p')].every(p => p.textContent.includes(' s, f'))")
    durations = "[...document.querySelectorAll('.detail audio')].map(audio => audio.duration)"
    browser.wait_for(f"{durations}.every(Boolean)")
    assert browser.evaluate(durations) == [pytest.approx(0.2, abs=0.01), pytest.approx(0.1, abs=0.01)]
    assert browser.problems == []
    drawn = browser.evaluate(DRAWN)
    assert len(drawn) == 4 and all(share > 0 for share, _ in drawn)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_chromium
def test_packed_clips_play_from_the_pages_data_or_say_where_they_are(tmp_path, little_room, browser):
    output = tmp_path / "out"
    make_output(output, 30, is_packed=True)
    page = write_report(str(output))
    browser.open(f"file://{page}")
    browser.wait_for("document.querySelector('#row-table audio')")
    assert browser.evaluate(PLAY % "#row-table") == [None, pytest.approx(0.1, abs=0.01)]
    assert browser.problems == []
    write_report(str(output), clips_mb=0)
    browser.open(f"file://{page}")
    browser.wait_for("document.querySelector('#row-table tbody td')")
    assert browser.evaluate("document.querySelector('#row-table tbody tr td:last-child').textContent") == (
        f"Not on this page: {output}/metadata/s/000000000-000000029.parquet, row 0. "
        "jobs.report with a larger --clips puts it here."
    )


@needs_chromium
def test_rows_of_a_speaker_whose_name_has_what_nobody_sees_are_found(tmp_path, browser):
    browser.look()
    page = write_report(make_output(tmp_path / "out", 10, speakers=["x\u202e\x9b", "b"]))
    browser.open(f"file://{page}")
    browser.wait_for("document.querySelector('#row-table audio')")
    browser.evaluate("document.querySelector('#speaker-table button[data-speaker^=x]').click()")
    speakers = browser.evaluate(
        "[...document.querySelectorAll('#row-table tbody tr')].map(r => r.cells[1].textContent)"
    )
    assert speakers == ["x\\u202e\\x9b"] * 5
    assert browser.problems == []
