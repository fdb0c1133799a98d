"""Where everything of a data set lies, and what is kept of it: its name and salt, and what became of each night.

<corpus>/dataset.json                 name, salt, who reads which split; written by the first night
<corpus>/manifest/<night>.parquet     what a night plans: a shard that never changes
<corpus>/ledger/<night>.parquet       the texts that a night has seen, as hashes
<corpus>/texts/, never.parquet        hashes of what files hold, which save reading them; may be deleted
<corpus>/nights/<night>.json          what became of the night: plan, run, gate, publication
<corpus>/output/                      of the run over all nights
<corpus>/snapshots/, latest.json      what is published
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from pipeline.config.printable import to_json
from pipeline.errors import ConfigError
from pipeline.output.run_record import RUN_PATH
from pipeline.storage import ObjectExists, PreconditionFailed, Storage, open_storage

IDENTITY_PATH = "dataset.json"
MANIFEST, LEDGER, NIGHTS = "manifest/", "ledger/", "nights/"
_FORMAT = 1
_NIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[a-z0-9.]{0,16})")
_SALT_BYTES = 16
_PARTS = ("plan", "run", "measures", "gate", "snapshot", "published")


def check_night(night: str) -> str:
    """Return the name of a night if it is a date, with small letters, digits and dots behind it at most.

    Raises:
        ConfigError: it is something else.
    """
    found = _NIGHT.fullmatch(night)
    try:
        date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise ConfigError(f"--night {night!a:.40}: expected a date such as 2026-11-29, or 2026-11-29b") from None
    return night


def is_corpus(storage: Storage) -> bool:
    """Tell whether a place is a corpus, and no output of a single run."""
    return storage.exists(IDENTITY_PATH) and not storage.exists(RUN_PATH)


def open_run_output(storage: Storage) -> Storage:
    """Return the output of a corpus's run."""
    return open_storage(f"{storage.uri.rstrip('/')}/output", storage.settings)


def tonight() -> str:
    """Return the night that is named after today, UTC."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True)
class Identity:
    """What stays the same in a corpus for ever."""

    name: str
    salt: str
    """Hexadecimal; decides, with the text, in which split it is."""
    test_speakers: tuple[str, ...] = ()
    """Who read test texts and nothing else."""
    other_speakers: tuple[str, ...] = ()
    """Who read other texts, too."""

    @classmethod
    def new(cls, name: str) -> Identity:
        """Return that of a corpus before its first night: the salt follows from the name, so that a dry run has it."""
        return cls(
            name, hashlib.blake2b(name.encode(), digest_size=_SALT_BYTES, key=b"spark_tts_batch.salt").hexdigest()
        )

    @property
    def key(self) -> bytes:
        """The salt's bytes."""
        return bytes.fromhex(self.salt)


@dataclass(frozen=True)
class NightRecord:
    """What became of a night; each part is None until it is done."""

    night: str
    plan: Mapping[str, Any] | None = None
    """See `PlanCounts`."""
    run: Mapping[str, Any] | None = None
    """How the last start of the run went that made its rows."""
    measures: Mapping[str, Any] | None = None
    """Of its rows, all that any gate is judged by; see `Measured`."""
    gate: Mapping[str, Any] | None = None
    """`passed`, `limits`, `problems`."""
    snapshot: Mapping[str, Any] | None = None
    published: Mapping[str, Any] | None = None
    """What the publication says of itself, and in which form and where it was wanted."""
    history: tuple[Mapping[str, Any], ...] = field(default=())
    """When which of these was done."""

    @property
    def has_passed(self) -> bool:
        """Whether its rows may be published."""
        return bool(self.gate and self.gate.get("passed"))

    @property
    def state(self) -> str:
        """How far it is, in a word."""
        if self.gate is None:
            return "new" if self.plan is None else "planned" if self.run is None else "synthesized"
        if not self.has_passed:
            return "failed its gate"
        return "passed its gate" if self.published is None else "published"

    def note(self, what: str, **parts: Any) -> NightRecord:
        """Return the record with other parts, and when that was."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(self, **parts, history=(*self.history, {"at": now, "what": what})[-20:])


class Corpus:
    """The places of a data set.

    Args:
        storage: of its root.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def read_identity(self) -> Identity | None:
        """Return who it is; None before its first night.

        Raises:
            ConfigError: dataset.json is damaged, of a newer version, or missing though there are nights.
        """
        return self._read_identity()[0]

    def _read_identity(self) -> tuple[Identity | None, str | None]:
        try:
            data, etag = self.storage.get_with_etag(IDENTITY_PATH)
        except FileNotFoundError:
            if nights := self.list_nights():
                raise ConfigError(
                    f"{self.storage.uri_of(IDENTITY_PATH)}: missing, though {nights[-1]} is planned; put back a copy "
                    "of it: it says who reads which split, and its salt decides in which one a text is"
                ) from None
            return None, None
        fields = self._parse(IDENTITY_PATH, data)
        try:
            speakers = {name: tuple(map(str, fields[name])) for name in ("test_speakers", "other_speakers")}
            identity = Identity(str(fields["name"]), str(fields["salt"]), **speakers)
            if len(identity.key) != _SALT_BYTES:
                raise ValueError("its salt is too short")
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_ours(IDENTITY_PATH, error) from None
        return identity, etag

    def begin(self, name: str, test_speakers: Collection[str] = (), other_speakers: Collection[str] = ()) -> Identity:
        """Give the corpus its name and salt, or find that it has them; note who reads which split.

        Raises:
            ConfigError: as `read_identity`; or it has another name, or somebody would change between test and the
                other splits.
        """
        while True:
            known, etag = self._read_identity()
            identity = known or Identity.new(name)
            self.check(identity, name, test_speakers, other_speakers)
            changed = replace(
                identity,
                test_speakers=tuple(sorted({*identity.test_speakers, *test_speakers})),
                other_speakers=tuple(sorted({*identity.other_speakers, *other_speakers})),
            )
            if changed == known:
                return changed
            condition: dict[str, Any] = {"if_absent": True} if etag is None else {"if_match": etag}
            try:
                self.storage.put(IDENTITY_PATH, _to_json({"format": _FORMAT, **asdict(changed)}), **condition)
                return changed
            except (ObjectExists, PreconditionFailed):
                continue

    def check(
        self, identity: Identity, name: str, test_speakers: Collection[str], other_speakers: Collection[str]
    ) -> None:
        """Refuse another name, and speakers who would leave the test split or come into it.

        Raises:
            ConfigError: says which.
        """
        if identity.name != name:
            raise ConfigError(
                f"dataset.name: {name}: {self.storage.uri} is the corpus of {identity.name}; name another output, or "
                "put the name back"
            )
        for speaker in sorted({*test_speakers} & {*identity.other_speakers}):
            raise ConfigError(
                f"dataset.split.test_speakers: {speaker}: read other texts than those of the test split on earlier "
                "nights, so that the voice is known to whoever trains; name a voice that is new to the corpus"
            )
        for speaker in sorted({*other_speakers} & {*identity.test_speakers}):
            raise ConfigError(
                f"dataset.split.test_speakers: {speaker}: was a test speaker on earlier nights, and would now read "
                "texts to train with; add the name again"
            )

    def list_nights(self) -> list[str]:
        """Return the nights that have a plan, in order."""
        return self._list(MANIFEST, ".parquet")

    def _list(self, folder: str, suffix: str) -> list[str]:
        names = (info.path.removeprefix(folder) for info in self.storage.list(folder))
        return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix) and "/" not in name)

    def check_manifests(self) -> None:
        """Refuse to go on without the manifest of a night that has a plan: the run would drop its rows.

        Raises:
            ConfigError: a manifest is missing.
        """
        known = {*self.list_nights()}
        for night in self._list(NIGHTS, ".json"):
            # The record comes after the manifest, unlike the ledger, which a kill may leave alone.
            if night not in known and self.read_night(night).plan is not None:
                raise ConfigError(
                    f"{self.storage.uri_of(f'{MANIFEST}{night}.parquet')}: missing, though {NIGHTS}{night}.json has "
                    "its plan; put back a copy of it, without which the night's rows would leave the data set"
                )

    def read_night(self, night: str) -> NightRecord:
        """Return what became of a night; an empty record where nothing did.

        Raises:
            ConfigError: the record is damaged, or of a newer version.
        """
        path = f"{NIGHTS}{night}.json"
        try:
            fields = self._parse(path, self.storage.get(path))
        except FileNotFoundError:
            return NightRecord(night)
        try:
            parts = {name: fields.get(name) for name in _PARTS}
            if not all(part is None or isinstance(part, dict) for part in parts.values()):
                raise TypeError("a part of it is no mapping")
            return NightRecord(night, **parts, history=tuple(fields.get("history") or ()))
        except TypeError as error:
            raise self._not_ours(path, error) from None

    def write_night(self, record: NightRecord) -> None:
        """Keep what became of a night; the caller holds the lease."""
        self.storage.put(f"{NIGHTS}{record.night}.json", _to_json({"format": _FORMAT, **asdict(record)}))

    def _parse(self, path: str, data: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(data)
            if not isinstance(fields, dict):
                raise TypeError("it is no mapping")
        except (ValueError, TypeError, RecursionError) as error:
            raise self._not_ours(path, error) from None
        version = fields.get("format")
        if isinstance(version, int) and version > _FORMAT:
            raise ConfigError(
                f"{self.storage.uri_of(path)}: written in format {version}, but this version of spark-tts-batch knows "
                f"{_FORMAT}; upgrade it"
            )
        return fields

    def _not_ours(self, path: str, error: Exception) -> ConfigError:
        detail = " ".join(str(error).split())[:200]
        return ConfigError(f"{self.storage.uri_of(path)}: damaged ({detail}); put back a copy of it")


def _to_json(value: Any) -> bytes:
    return to_json(value, indent=1, default=str).encode("utf-8", "surrogatepass")
