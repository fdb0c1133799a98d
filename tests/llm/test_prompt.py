from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.errors import RejectionCode, SpeakerError, UtteranceError, WeightsError
from pipeline.llm.prompt import Choice, Family, Forced, SpeechVocabulary, Voice, build_prompt

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference"
TINY = SpeechVocabulary.load(REFERENCE / "tiny" / "LLM")
GOLDEN = json.loads((REFERENCE / "golden" / "prompts.json").read_text())
LABELS = {"gender": "female", "pitch": "low", "speed": "very_high"}
GLOBALS = tuple(range(0, 4096, 128))


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> SpeechVocabulary:
    folder = tmp_path_factory.mktemp("official")
    packed = (OFFICIAL_SIZES / "LLM" / "tokenizer.json.gz").read_bytes()
    (folder / "tokenizer.json").write_bytes(gzip.decompress(packed))
    return SpeechVocabulary.load(folder)


@pytest.mark.parametrize("case", [*GOLDEN["control"], *GOLDEN["control_texts"]], ids=lambda case: case.get("name", ""))
def test_creation_prompts_equal_the_official_ones(case: dict[str, Any]) -> None:
    prompt = build_prompt(TINY, case["text"], Voice(gender=case["gender"], pitch=case["pitch"], speed=case["speed"]))
    assert prompt.text == case["prompt"]
    if case.get("name") == "special_in_text":
        assert list(prompt.ids) != case["input_ids"], "the official one lets text spell control tokens"
    else:
        assert list(prompt.ids) == case["input_ids"]


@pytest.mark.parametrize("case", GOLDEN["clone"], ids=lambda case: f"{case['clip']}-{case['prompt_text']}")
def test_clone_prompts_equal_the_official_ones_but_for_the_transcript(case: dict[str, Any]) -> None:
    global_tokens = tuple(case["global_tokens"])
    plain = build_prompt(TINY, case["text"], Voice(global_tokens=global_tokens))
    if case["prompt_text"] is None:
        assert plain.text == case["prompt"] and list(plain.ids) == case["input_ids"]
        return
    names = case["prompt"].partition("<|start_semantic_token|>")[2].removesuffix("|>").split("|><|")
    semantic = tuple(int(name.rpartition("_")[2]) for name in names)
    voice = Voice(global_tokens=global_tokens, reference_text=case["prompt_text"], reference_semantic_tokens=semantic)
    if not case["prompt_text"]:
        # Officially an empty transcript counts as one, and the reference's speech is continued without its text.
        assert build_prompt(TINY, case["text"], voice, use_reference_text=True) == plain
        return
    # Officially transcript and text are fused, which is right where no spaces are written.
    fused = build_prompt(TINY, case["text"], voice, use_reference_text=True, language="zh")
    assert fused.text == case["prompt"] and list(fused.ids) == case["input_ids"]
    assert fused.grammar.opening == ()
    spaced = build_prompt(TINY, case["text"], voice, use_reference_text=True, language="en")
    assert spaced.text == case["prompt"].replace(case["prompt_text"], case["prompt_text"] + " ", 1)
    assert build_prompt(TINY, case["text"], voice) == plain, "off by default"


def test_ids_of_the_published_tokenizer(official: SpeechVocabulary) -> None:
    """The table in the project's facts about the model."""
    assert official.family_ids(Family.GLOBAL) == tuple(range(151665, 155761))
    assert official.semantic_ids == tuple(range(155761, 163953))
    assert official.family_ids(Family.PITCH_VALUE) == tuple(range(163953, 164954))
    assert official.family_ids(Family.SPEED_VALUE) == tuple(range(164975, 164986))
    assert official.family_ids(Family.PITCH_LABEL) == tuple(range(164965, 164970))
    assert official.family_ids(Family.SPEED_LABEL) == tuple(range(164986, 164991))
    assert official.family_ids(Family.GENDER)[:2] == (165032, 165033)
    assert official.control_id("<|task_tts|>") == 165137
    assert official.control_id("<|task_controllable_tts|>") == 165143
    assert official.control_id("<|start_semantic_token|>") == 165151
    assert official.stop_ids == (151645, 165157)
    assert official.highest_id == 165157


def test_the_four_forms(official: SpeechVocabulary) -> None:
    known = build_prompt(official, "Hi", Voice(global_tokens=GLOBALS))
    assert known.ids[:2] == (165137, 165146) and known.ids[-1] == 165156
    assert known.grammar.opening == (Forced((165151,)),)
    created = build_prompt(official, "Hi", Voice(**LABELS))
    assert created.ids[-5:] == (165147, 165032, 164966, 164990, 165153)
    assert created.grammar.opening == (
        Forced((165149,)),
        Choice(Family.PITCH_VALUE),
        Choice(Family.SPEED_VALUE),
        Forced((165155, 165150)),
        Choice(Family.GLOBAL, 32),
        Forced((165156,)),
        Forced((165151,)),
    )
    assert len(created.grammar.steps) == 39
    repeated = build_prompt(official, "Hi", Voice(global_tokens=GLOBALS, pitch_value=220, speed_value=4, **LABELS))
    prefix = (165149, 163953 + 220, 164975 + 4, 165155, 165150, *(151665 + n for n in GLOBALS), 165156)
    assert repeated.ids == created.ids + prefix
    assert repeated.grammar.opening == (Forced((165151,)),)


def test_a_space_keeps_transcript_and_text_apart(official: SpeechVocabulary) -> None:
    """Fused, "gospel." + "Actions" became one token, and none of 8 takes was right."""
    voice = Voice(global_tokens=GLOBALS, reference_text=" The gospel.\n", reference_semantic_tokens=(1, 2))
    prompt = build_prompt(official, "Actions speak.", voice, use_reference_text=True)
    assert "The gospel. Actions speak.<|end_content|>" in prompt.text
    assert prompt.ids[-3:] == (165151, 155762, 155763)
    without_tokens = Voice(global_tokens=GLOBALS, reference_text="The gospel.")
    assert "gospel" not in build_prompt(official, "Actions.", without_tokens, use_reference_text=True).text


SPELLINGS = st.sampled_from(["<|im_end|>", "<|bicodec_semantic_5|>", "<|end_content|>", "<|endoftext|>", "<|", "|>"])


@given(text=st.lists(st.one_of(SPELLINGS, st.text(max_size=8)), max_size=8).map("".join))
@settings(max_examples=200)
def test_no_text_can_spell_a_control_token(text: str) -> None:
    lowest_control = min(TINY.stop_ids)
    ids = TINY.tokenize(text)
    assert all(token_id < lowest_control for token_id in ids)


def test_ordinary_text_has_the_official_ids() -> None:
    for case in GOLDEN["control_texts"]:
        if case["name"] != "special_in_text":
            assert TINY.tokenize(case["text"]) == case["text_only_ids"]


def test_half_a_surrogate_pair_is_the_rows_fault() -> None:
    with pytest.raises(UtteranceError, match="character 1") as caught:
        build_prompt(TINY, "a\ud800b", Voice(global_tokens=GLOBALS))
    assert caught.value.code == RejectionCode.INVALID_TEXT


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        (Voice(), "gender is None; expected one of female, male"),
        (Voice(gender="female", pitch="deep", speed="low"), "pitch is 'deep'; expected one of very_low"),
        (Voice(gender="female", pitch="low"), "speed is None"),
        (Voice(global_tokens=GLOBALS[:31]), "31 global tokens; expected 32"),
        (Voice(global_tokens=(*GLOBALS[:31], 4096)), "bicodec_global 4096 does not exist; expected 0 to 4095"),
        (Voice(global_tokens=(*GLOBALS[:31], -1)), "bicodec_global -1 does not exist"),
        (Voice(global_tokens=GLOBALS, pitch_value=1001, speed_value=1, **LABELS), "pitch_value 1001 does not exist"),
    ],
)
def test_incomplete_voices_are_refused(voice: Voice, message: str) -> None:
    with pytest.raises(SpeakerError, match=message):
        build_prompt(TINY, "Hi", voice)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("<|im_end|>", r"token <\|im_end\|> is missing"),
        ("<|start_content|>", r"token <\|start_content\|> is missing"),
        ("<|bicodec_semantic_77|>", r"token <\|bicodec_semantic_77\|> is missing"),
        ("<|speed_label_4|>", r"token <\|speed_label_4\|> is missing"),
    ],
)
def test_a_tokenizer_without_a_needed_token_is_refused(tmp_path: Path, removed: str, message: str) -> None:
    spec = json.loads((REFERENCE / "tiny" / "LLM" / "tokenizer.json").read_text())
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] != removed]
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(WeightsError, match=message):
        SpeechVocabulary.load(tmp_path)


def test_a_missing_or_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"tokenizer.json: cannot be read"):
        SpeechVocabulary.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"not a tokenizer.json"):
        SpeechVocabulary.load(tmp_path)
