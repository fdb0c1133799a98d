"""Rows are counted by outcome in one way, in a receipt and over a whole output."""

from pipeline.output.row_counts import RowCounts, UnitReceipt


def test_rows_are_counted_by_outcome():
    counts = RowCounts()
    counts.add(["ok", "rejected", "ok"], [None, "too_fast", None], [1.0, None, 0.5], [4, 6, None])
    assert counts.takes_per_row == 10  # Of the third row nobody counted them: an older format.
    counts.add(["rejected"], ["too_fast"], [None], [2])
    assert counts.takes_per_row == counts.report(4)["takes_per_row"] == 12
    assert (counts.num_rows, counts.num_ok, counts.rejected, counts.audio_s) == (4, 2, {"too_fast": 2}, 1.5)


def test_a_receipt_counts_takes_and_shows_the_first_few_rejections():
    rejected = [
        {"utterance_id": n, "status": "rejected", "error_code": "empty_text", "error_message": f"text {n}"}
        for n in range(7)
    ]
    spoken = [{"utterance_id": "a", "status": "ok", "duration_s": 2.0, "num_takes": 3, "num_segments": 2}]
    receipt = UnitReceipt.of("s/0-7", [*rejected, *spoken], committed=True)
    assert (receipt.num_ok, receipt.rejected, receipt.audio_s) == (1, {"empty_text": 7}, 2.0)
    assert (receipt.num_retakes, receipt.committed) == (1, True)
    assert receipt.examples == tuple((str(n), "empty_text", f"text {n}") for n in range(5))
