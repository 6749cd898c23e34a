"""Router artifacts that the gateways of a ledger trained: as zip archives in the ledger, as folders on this machine."""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from breakeven.gateway.config.journal_folder import beside
from breakeven.gateway.ledger.road import RoadStore
from breakeven.router.model.artifact import Artifact, ArtifactError, load, written_hash

_log = logging.getLogger("breakeven.road")

# Longer than learning may take.
_LEFT_SECONDS = 1200.0
_FILES = ("weights.npz", "metadata.json", "MODEL_CARD.md")


def artifacts_folder(journal: Path) -> Path:
    """Where a machine keeps its copies: beside the journal of its ledger."""
    return beside(journal, "artifacts")


class TrainedArtifacts:
    """Artifacts by hash. The folder is only a copy of what the ledger has, and can be deleted."""

    def __init__(self, store: RoadStore, folder: Path) -> None:
        """`folder`: where this machine keeps its copies; made when needed."""
        self._store = store
        self.folder = folder

    def load(self, hash: str) -> Artifact | None:
        """The artifact; None where the ledger does not have it. Raises LedgerError, OSError, and ArtifactError for one
        that is damaged or of another version.
        """
        folder, fault = self.folder / hash, None
        if written_hash(folder) == hash:
            try:
                return load(folder)  # which checks that the content has the hash
            except ArtifactError as error:
                fault = error
        data = self._store.artifact(hash)
        if data is None:
            return None
        if fault is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._unpack(data, folder)
        found = load(folder)
        if found.hash != hash:
            raise ArtifactError(f"{folder} holds another artifact; delete it")
        if fault is not None:
            _log.warning(
                "the copy of the artifact %s was damaged, and was taken from the ledger again: %s", hash, fault
            )
        return found

    def add(self, made: Path, hash: str, at: int) -> None:
        """Store the artifact in the directory `made`, which is moved here. Raises LedgerError, OSError."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in _FILES:
                archive.write(made / name, name)
        self._store.put_artifact(hash, at, buffer.getvalue())
        self._move(made, self.folder / hash)

    def prepare(self) -> None:
        """Make the folder, and remove what a process left that was killed while it learned. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for one in self.folder.glob(".*"):
            if time.time() - one.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(one, ignore_errors=True)

    def keep(self, hashes: set[str]) -> None:
        """Delete all others from this machine. Never raises."""
        if self.folder.is_dir():
            for one in self.folder.iterdir():
                if one.name not in hashes and not one.name.startswith("."):
                    shutil.rmtree(one, ignore_errors=True)

    def _unpack(self, data: bytes, folder: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = Path(tempfile.mkdtemp(dir=self.folder, prefix="."))
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in _FILES:
                    (fresh / name).write_bytes(archive.read(name))
            self._move(fresh, folder)
        except (KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
            # What zipfile raises depends on which of its bytes are wrong; NotImplementedError is a RuntimeError.
            raise ArtifactError(f"the artifact {folder.name} in the ledger is damaged") from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    @staticmethod
    def _move(fresh: Path, folder: Path) -> None:
        """Another process of this machine may do the same: the content is the same, too."""
        try:
            fresh.rename(folder)
        except OSError:
            if written_hash(folder) == folder.name:
                return
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
