"""`report.html`: a run to look at and listen to. A data set's page shares `page.py` with the files that it reads."""

from pipeline.output.report.sounds import DEFAULT_CLIPS_MB
from pipeline.output.report.write import FOLDER_FILE, write_report

__all__ = ["DEFAULT_CLIPS_MB", "FOLDER_FILE", "write_report"]
