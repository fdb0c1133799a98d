"""notebook.py: a run shows how far it is where logs are seen by nobody."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pipeline.output.notebook import open_line
from pipeline.output.progress import Progress
from pipeline.output.row_counts import UnitReceipt


@pytest.fixture
def cell(monkeypatch):
    """The lines that a cell showed, of IPython's own calls."""
    shown = []

    def display(data, raw, display_id):
        assert raw and display_id
        shown.append(("new", data["text/plain"]))
        return SimpleNamespace(update=lambda data, raw: shown.append(("over it", data["text/plain"])))

    module, displays = ModuleType("IPython"), ModuleType("IPython.display")
    module.get_ipython = lambda: SimpleNamespace(kernel=object())
    displays.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    return shown


def test_a_run_writes_one_line_over_and_over(cell):
    now = [0.0]
    progress = Progress(2, 0, 10.0, clock=lambda: now[0])
    progress.report_loading()
    progress.begin()
    for now[0] in (0.5, 1.5, 2.0):
        progress.report_if_due()
    progress.add(UnitReceipt("s/0-1", 2, {}, 3.0, 0, True))
    progress.report()
    assert [kind for kind, _ in cell] == ["new", "over it", "over it", "over it"]
    assert cell[0][1].startswith("starting") and cell[1][1].startswith("0/2 utterances (0%)")
    assert cell[-1][1].startswith("2/2 utterances (100%) · 3.0 s of audio")


def test_a_terminal_has_its_log(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert open_line() is None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert open_line() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert open_line() is None
