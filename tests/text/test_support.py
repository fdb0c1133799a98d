"""What weights declare of the text that they were taught."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ConfigError, WeightsError
from pipeline.text import TextSupport, read_text_support


def test_without_a_declaration_it_is_what_the_official_weights_can(tmp_path: Path) -> None:
    assert read_text_support(tmp_path) == TextSupport(("en", "zh"), None, None)


def test_a_declaration_is_read(tmp_path: Path) -> None:
    (tmp_path / "text.yaml").write_text('languages: [en, de]\nmarks: ".,\'"\nmax_segment_chars: 120\n')
    assert read_text_support(tmp_path) == TextSupport(("en", "de"), ".,'", 120)
    (tmp_path / "text.yaml").write_text("needs_end_mark: true\n")
    assert read_text_support(tmp_path) == TextSupport(needs_end_mark=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[en]", "mapping"), ("language: en", "'language' is unknown; expected languages"),
        ("languages: en", "languages is 'en'; expected a list"), ("languages: []", "expected a list"),
        ("marks: abc", "marks is 'abc'; expected the marks"), ("max_segment_chars: 5", "at least 20"),
        ("max_segment_chars: yes", "at least 20"), ("marks: [", "YAML"), ("needs_end_mark: 1", "true or false"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "text.yaml").write_text(text)
    with pytest.raises((WeightsError, ConfigError), match=complaint):
        read_text_support(tmp_path)
