"""Which language a text is in, and that short and neutral lines stay English."""

from __future__ import annotations

import pytest

from pipeline.text import detect_language, normalize_text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Es kostet viel.", "de"), ("Guten Morgen.", "de"), ("Er kam am 3. Oktober nach Berlin.", "de"),
        ("Danke schön.", "de"), ("Vielen Dank!", "de"), ("Der Mann isst Brot.", "de"),
        ("Te quiero mucho.", "es"), ("Nein!", "de"), ("Kapitel 3: Der Wald", "de"),
        ("Combien ça coûte ?", "fr"), ("Il pleut.", "fr"), ("C'est la vie.", "fr"), ("Je ne sais pas.", "fr"),
        ("¿Dónde está?", "es"), ("Buenos días.", "es"), ("El tren sale a las 15:30.", "es"), ("No sé nada.", "es"),
        ("Buongiorno a tutti.", "it"), ("Il treno parte alle 9.", "it"),
        ("Obrigado pela ajuda.", "pt"), ("Ela tem 30 anos.", "pt"), ("Goedemorgen allemaal.", "nl"),
    ],
)  # fmt: skip
def test_short_lines_of_other_languages_are_known(text: str, language: str) -> None:
    assert detect_language(text) == language
    assert normalize_text(text).language == language


@pytest.mark.parametrize(
    "text",
    [
        "Yes.", "Hello there.", "Chapter one.", "Mrs. Dalloway bought flowers.", "Jean Valjean walked into Paris.",
        "He ate a croissant.", "Meet me in Los Angeles.", "Boris Berlin, Hans Schmidt", "Pride and Prejudice",
        "NASA", "iPhone 15", "x + y = 3", "123", "nginx", "Run!", "Dogs bark.", "Birds fly south.", "Mama mia!",
        "Victoria Station", "60 mph", "C++, C#, F#", '"Mon Dieu!" she cried.', "Open 9am–5pm Mon–Fri",
        "Mein Kampf was banned in Bavaria.", "Ludwig van Beethoven was born in Bonn in 1770.",
        "Monsieur Poirot smiled.",
        "Señor García met Frau Müller in the lobby.", "Los Angeles, 1942", "Salvador Dalí", "Poor chap.", "A week!",
        "Hattie Sterling took Joe home in a hansom.", "I acquiesced.", '"Mon Dieu!" cried Madame Defarge.',
        "La la land", "Never mind.", "Students protest.", "Turn left.",
    ],
)  # fmt: skip
def test_what_proves_nothing_is_english(text: str) -> None:
    assert detect_language(text) == "en"
