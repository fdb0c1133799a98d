"""The page of an output and the data beside it, by name: how both are found and deleted."""

from __future__ import annotations

import re

from pipeline.storage import Storage

REPORT_NAME = "report.html"
_FILE_NAME = re.compile(r"(rows|clips|pictures)-\d{4,}-[0-9a-f]{12}\.js")


def data_folder(page_name: str) -> str:
    """Return the folder, with `/` at its end, of a page's data."""
    return f"{page_name.removesuffix('.html')}-data/"


def list_data(storage: Storage, page_name: str) -> list[str]:
    """Return the paths of a page's data; of files that others put there, none."""
    folder = data_folder(page_name)
    paths = [info.path for info in storage.list(folder)]
    return [path for path in paths if _FILE_NAME.fullmatch(path.removeprefix(folder))]


def delete_page(storage: Storage) -> None:
    """Delete the page of an output or a corpus, which may show texts and play clips; its command writes it again."""
    for path in (REPORT_NAME, *list_data(storage, REPORT_NAME)):
        storage.delete(path)
