"""What the language model is asked: token ids by name, the four prompt forms, and the grammar of the answers.

Knows the tokenizer and the meaning of its control tokens; knows nothing of networks, and imports no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from pipeline.errors import RejectionCode, SpeakerError, UtteranceError, WeightsError

NUM_GLOBAL_TOKENS = 32
"""Global tokens of one voice; fixed by the model, and written in no file of the LLM folder."""

GENDERS = ("female", "male")
LEVELS = ("very_low", "low", "moderate", "high", "very_high")
STOP_TOKENS = ("<|im_end|>", "<|end_semantic_token|>")

_REQUIRED_TOKENS = (
    "<|task_tts|>",
    "<|task_controllable_tts|>",
    "<|start_content|>",
    "<|end_content|>",
    "<|start_style_label|>",
    "<|end_style_label|>",
    "<|start_global_token|>",
    "<|end_global_token|>",
    "<|start_semantic_token|>",
    *STOP_TOKENS,
)
_ACOUSTIC_BRACKETS = ("<|start_acoustic_token|>", "<|end_acoustic_token|>")
"""Around pitch and speed of a created voice; answers go without where the tokenizer has none."""
_MODERATE_SPEED = 4.7
"""Syllables a second that a text's expected time is counted with, see `estimate_seconds`."""
_NUMBERED_TOKEN = re.compile(r"<\|([a-z_]+)_([0-9]+)\|>")
_LANGUAGES_WITHOUT_SPACES = frozenset({"zh", "yue", "ja"})


class Family(StrEnum):
    """A numbered group of tokens, by its name in the tokenizer."""

    SEMANTIC = "bicodec_semantic"
    GLOBAL = "bicodec_global"
    PITCH_VALUE = "pitch_value"
    SPEED_VALUE = "speed_value"
    GENDER = "gender"
    PITCH_LABEL = "pitch_label"
    SPEED_LABEL = "speed_label"

    def token(self, number: int) -> str:
        """Return the spelling of one of its tokens."""
        return f"<|{self.value}_{number}|>"


_SMALLEST_FAMILY = {Family.GENDER: len(GENDERS), Family.PITCH_LABEL: len(LEVELS), Family.SPEED_LABEL: len(LEVELS)}


@dataclass(frozen=True)
class Forced:
    """Answer tokens that can only be these, so that they are not sampled."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """Answer tokens that are each one of a family."""

    family: Family
    count: int = 1


@dataclass(frozen=True)
class AnswerGrammar:
    """What an answer looks like: an opening, then semantic tokens until a stop token.

    Args:
        opening: what comes before the first semantic token, in order.
    """

    opening: tuple[Forced | Choice, ...]

    @cached_property
    def steps(self) -> tuple[int | Family, ...]:
        """The opening token by token: the id of a forced one, or the family to choose from."""
        steps: list[int | Family] = []
        for phase in self.opening:
            steps += phase.ids if isinstance(phase, Forced) else [phase.family] * phase.count
        return tuple(steps)


@dataclass(frozen=True)
class Voice:
    """What a speaker contributes to a prompt.

    A known voice has `global_tokens`; one that is yet to be created has only labels; a created one has both, with the
    pitch and speed values of its first answer.

    Args:
        global_tokens: 32 numbers in [0, 4096).
        reference_text: what is said in the reference audio.
        reference_semantic_tokens: numbers in [0, 8192), 50 a second of the reference audio.
        gender: `female` or `male`.
        pitch: `very_low`, `low`, `moderate`, `high` or `very_high`.
        speed: the same five levels.
        pitch_value: mel, 0 to 1000, of a created voice.
        speed_value: syllables a second, 0 to 10, of a created voice.
    """

    global_tokens: tuple[int, ...] | None = None
    reference_text: str | None = None
    reference_semantic_tokens: tuple[int, ...] | None = None
    gender: str | None = None
    pitch: str | None = None
    speed: str | None = None
    pitch_value: int | None = None
    speed_value: int | None = None

    @property
    def slowness(self) -> float:
        """How much longer the voice takes for a text than a moderate one, from 1 to 2; 1 where nothing is known."""
        if self.speed_value is None:
            return 1.0
        return min(max(_MODERATE_SPEED / max(self.speed_value, 1), 1.0), 2.0)


@dataclass(frozen=True)
class Prompt:
    """A request to the language model.

    Args:
        text: readable form, in the official spelling.
        ids: what the engine reads.
        grammar: what it may answer.
    """

    text: str
    ids: tuple[int, ...]
    grammar: AnswerGrammar


class SpeechVocabulary:
    """The tokenizer, with the ids of all speech and control tokens looked up by name.

    Args:
        tokenizer: must know no added tokens, so that text which spells a control token stays text.
        ids: id of every added token, by its spelling.
        source: named in error messages.

    Raises:
        WeightsError: a token that prompts or answers need is missing.
    """

    def __init__(self, tokenizer: Tokenizer, ids: Mapping[str, int], source: str = "tokenizer") -> None:
        self._tokenizer = tokenizer
        self._source = source
        missing = [name for name in _REQUIRED_TOKENS if name not in ids]
        if missing:
            raise WeightsError(
                f"{source}: token {missing[0]} is missing ({len(missing)} control tokens in all); expected the "
                "tokenizer of a Spark-TTS model, with its added tokens; copy the LLM folder again"
            )
        self._control = {name: ids[name] for name in (*_REQUIRED_TOKENS, *_ACOUSTIC_BRACKETS) if name in ids}
        self._families = self._collect_families(ids)
        self.stop_ids: tuple[int, ...] = tuple(self._control[name] for name in STOP_TOKENS)

    @classmethod
    def load(cls, llm_dir: Path) -> SpeechVocabulary:
        """Read `tokenizer.json`.

        Raises:
            WeightsError: the file is missing, is no tokenizer, or lacks a speech token.
        """
        path = Path(llm_dir) / "tokenizer.json"
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
            ids = {token["content"]: int(token["id"]) for token in spec["added_tokens"]}
            # Control tokens go into prompts by id; the text's tokenizer does not know them, so no text can spell one.
            tokenizer = Tokenizer.from_str(json.dumps({**spec, "added_tokens": []}))
        except OSError as error:
            raise WeightsError(
                f"{path}: cannot be read ({error.strerror}); expected the tokenizer of a Spark-TTS model"
            ) from error
        # The tokenizers package raises plain Exception for a file it does not understand.
        except Exception as error:
            raise WeightsError(f"{path}: not a tokenizer.json ({error!r:.200}); copy the file again") from error
        return cls(tokenizer, ids, str(path))

    def _collect_families(self, ids: Mapping[str, int]) -> dict[Family, tuple[int, ...]]:
        numbered: dict[str, dict[int, int]] = {family.value: {} for family in Family}
        for name, token_id in ids.items():
            match = _NUMBERED_TOKEN.fullmatch(name)
            if match and match[1] in numbered:
                numbered[match[1]][int(match[2])] = token_id
        families = {}
        for family in Family:
            members = numbered[family.value]
            count = max(len(members), _SMALLEST_FAMILY.get(family, 1))
            gap = next((number for number in range(count) if number not in members), None)
            if gap is not None:
                raise WeightsError(
                    f"{self._source}: token {family.token(gap)} is missing; expected {family.value} tokens numbered "
                    "from 0 without gaps; copy the LLM folder again"
                )
            families[family] = tuple(members[number] for number in range(count))
        return families

    @property
    def semantic_ids(self) -> tuple[int, ...]:
        """Token ids of the semantic tokens, by their number."""
        return self._families[Family.SEMANTIC]

    @property
    def speech_ids(self) -> tuple[int, ...]:
        """Token ids of what speech is made of: the semantic tokens by their number, then the stops."""
        return (*self.semantic_ids, *self.stop_ids)

    def family_ids(self, family: Family) -> tuple[int, ...]:
        """Return the token ids of a family, by their number."""
        return self._families[family]

    def control_id(self, name: str) -> int:
        """Return the id of a control token such as `<|start_content|>`."""
        return self._control[name]

    def has_control(self, name: str) -> bool:
        """Whether the tokenizer has a control token; only the acoustic brackets may be absent."""
        return name in self._control

    @property
    def highest_id(self) -> int:
        """The largest id that a prompt or an answer may hold."""
        return max(self._tokenizer.get_vocab_size() - 1, *self._control.values(), *map(max, self._families.values()))

    def tokenize(self, text: str) -> list[int]:
        """Turn text into ids; text that spells a control token comes out as its characters.

        Raises:
            UtteranceError: the text holds a lone surrogate, which no encoding can express.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UtteranceError(
                RejectionCode.INVALID_TEXT,
                f"character {error.start} is {text[error.start]!r}, half of a surrogate pair; expected Unicode text",
            ) from None
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


class _PromptWriter:
    """Collects ids and the readable form side by side."""

    def __init__(self, vocabulary: SpeechVocabulary) -> None:
        self._vocabulary = vocabulary
        self.ids: list[int] = []
        self.parts: list[str] = []

    def control(self, *names: str) -> _PromptWriter:
        names = tuple(filter(self._vocabulary.has_control, names))
        self.ids += map(self._vocabulary.control_id, names)
        self.parts += names
        return self

    def text(self, text: str) -> _PromptWriter:
        self.ids += self._vocabulary.tokenize(text)
        self.parts.append(text)
        return self

    def numbers(self, family: Family, numbers: Iterable[int]) -> _PromptWriter:
        ids = self._vocabulary.family_ids(family)
        for number in numbers:
            if not 0 <= number < len(ids):
                raise SpeakerError(
                    f"{family.value} {number} does not exist; expected 0 to {len(ids) - 1}; enroll the speaker again "
                    "with these weights"
                )
            self.ids.append(ids[number])
            self.parts.append(family.token(number))
        return self


def build_prompt(
    vocabulary: SpeechVocabulary, text: str, voice: Voice, *, use_reference_text: bool = False, language: str = "en"
) -> Prompt:
    """Write the prompt that makes a voice say a text.

    The form follows from the voice: a known voice (the trained form); a known voice with a transcript, where asked
    for and at hand (a continuation of the reference, never trained); a voice to be created from labels; a created
    voice repeated, which continues the opening of its first answer.

    Args:
        vocabulary: ids by name.
        text: what to say; may hold anything.
        voice: who says it.
        use_reference_text: continue from the reference's transcript and semantic tokens, if the voice has both.
        language: of the text; decides whether a space joins transcript and text.

    Raises:
        SpeakerError: the voice is incomplete, or a number or label of it does not exist.
        UtteranceError: the text is not valid Unicode.

    Source: Spark-TTS, arXiv 2503.01710; compared with the official prompts by tests/llm/test_prompt.py. Three
    deliberate differences: text cannot spell control tokens, a space keeps transcript and text apart, and a
    blank transcript is none.
    """
    writer = _PromptWriter(vocabulary)
    if voice.global_tokens is not None and len(voice.global_tokens) != NUM_GLOBAL_TOKENS:
        raise SpeakerError(
            f"the voice has {len(voice.global_tokens)} global tokens; expected {NUM_GLOBAL_TOKENS}; enroll it again"
        )
    speech_start = Forced((vocabulary.control_id("<|start_semantic_token|>"),))
    if voice.global_tokens is None:
        _write_creation(writer, text, voice)
        grammar = AnswerGrammar((*_created_opening(vocabulary), speech_start))
    elif voice.pitch_value is not None and voice.speed_value is not None:
        _write_creation(writer, text, voice)
        writer.control("<|start_acoustic_token|>")
        writer.numbers(Family.PITCH_VALUE, [voice.pitch_value]).numbers(Family.SPEED_VALUE, [voice.speed_value])
        writer.control("<|end_acoustic_token|>")
        _write_global_tokens(writer, voice.global_tokens)
        grammar = AnswerGrammar((speech_start,))
    else:
        transcript = (voice.reference_text or "").strip() if use_reference_text else ""
        continued = voice.reference_semantic_tokens if transcript else None
        spoken = _join_transcript(transcript, text, language) if continued else text
        writer.control("<|task_tts|>", "<|start_content|>").text(spoken).control("<|end_content|>")
        _write_global_tokens(writer, voice.global_tokens)
        if continued:
            writer.control("<|start_semantic_token|>").numbers(Family.SEMANTIC, continued)
        grammar = AnswerGrammar(() if continued else (speech_start,))
    return Prompt("".join(writer.parts), tuple(writer.ids), grammar)


def _join_transcript(transcript: str, text: str, language: str) -> str:
    """Join with a space where the language writes one; "gospel." + "Actions" would fuse into one token."""
    separator = "" if language in _LANGUAGES_WITHOUT_SPACES else " "
    return transcript + separator + text.lstrip()


def _write_creation(writer: _PromptWriter, text: str, voice: Voice) -> None:
    writer.control("<|task_controllable_tts|>", "<|start_content|>").text(text).control("<|end_content|>")
    writer.control("<|start_style_label|>")
    writer.numbers(Family.GENDER, [_label_number("gender", voice.gender, GENDERS)])
    writer.numbers(Family.PITCH_LABEL, [_label_number("pitch", voice.pitch, LEVELS)])
    writer.numbers(Family.SPEED_LABEL, [_label_number("speed", voice.speed, LEVELS)])
    writer.control("<|end_style_label|>")


def _label_number(field: str, label: str | None, labels: Sequence[str]) -> int:
    if label not in labels:
        raise SpeakerError(
            f"{field} is {label!r}; expected one of {', '.join(labels)} for a voice that is created from labels"
        )
    return labels.index(label)


def _write_global_tokens(writer: _PromptWriter, global_tokens: Sequence[int]) -> None:
    writer.control("<|start_global_token|>").numbers(Family.GLOBAL, global_tokens).control("<|end_global_token|>")


def _created_opening(vocabulary: SpeechVocabulary) -> tuple[Forced | Choice, ...]:
    """The chain of thought of a new voice: its pitch, its speed, its global tokens."""

    def forced(*names: str) -> Forced:
        return Forced(tuple(map(vocabulary.control_id, filter(vocabulary.has_control, names))))

    return (
        forced("<|start_acoustic_token|>"),
        Choice(Family.PITCH_VALUE),
        Choice(Family.SPEED_VALUE),
        forced("<|end_acoustic_token|>", "<|start_global_token|>"),
        Choice(Family.GLOBAL, NUM_GLOBAL_TOKENS),
        forced("<|end_global_token|>"),
    )
