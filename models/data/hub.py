"""Names on the Hugging Face hub, in place of folders: which arguments are names, and fetching what they name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from breakeven.models.errors import DistillError

_NAME = re.compile(r"(?P<name>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?(:(?P<config>[\w.-]+))?")
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/([0-9a-f]{7,40})$")
_WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
_REST = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md", "LICENSE*"]
_OLDER = ["*.bin", "*.bin.index.json"]


class HubName(NamedTuple):
    """`owner/name`, with a revision after @ and, for a data set, a configuration after a colon."""

    name: str
    revision: str | None
    config: str | None


def hub_name(text: str) -> HubName | None:
    """The name on the hub that an argument gives; None where it is a path: of one that exists, or in a folder that
    does.
    """
    found = _NAME.fullmatch(text)
    if found is None or Path(text).exists() or Path(text).parent.is_dir():
        return None
    return HubName(found["name"], found["revision"], found["config"])


def model_folder(folder: Path) -> Path:
    """A folder of a model: the given one, or for a name on the hub the one it is downloaded to.

    Raises DistillError where the hub does not give it.
    """
    wanted = hub_name(str(folder))
    if wanted is None:
        return folder
    if importlib.util.find_spec("huggingface_hub") is None:
        raise DistillError(f"{folder}: a name on the hub needs huggingface_hub: pip install 'breakeven[distill]'")
    from huggingface_hub import snapshot_download

    def fetched(patterns: list[str]) -> Path:
        return Path(snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=patterns))

    try:
        found = fetched([*_WEIGHTS, *_REST])
        if not any(found.glob("*.safetensors")):
            found = fetched([*_OLDER, *_REST])
    except Exception as error:
        raise refused(str(folder), "model", error) from None
    return found


def shown(folder: Path) -> str:
    """A folder for settings and cards; one that came from the hub as `owner/name@revision`."""
    found = _CACHED.search(str(folder))
    return f"{found[1]}/{found[2]}@{found[3]}" if found else str(folder)


def refused(text: str, what: str, error: Exception) -> DistillError:
    """What to tell the user about an error of the hub's client for the `what` (model or dataset) named `text`."""
    names = {one.__name__ for one in type(error).__mro__}
    said = " ".join(str(error).split())[:200]
    folder = f"download the {what} where it is, and give its folder"
    if names & {"GatedRepoError"}:
        return DistillError(f"{text}: the {what} is gated; accept its terms on the hub, then `hf auth login`")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} and "offline" not in said.lower():
        return DistillError(
            f"{text}: neither a file or folder here nor a {what} on the hub (or a private one: `hf auth login`)"
        )
    if names & {"RevisionNotFoundError"}:
        return DistillError(f"{text}: the {what} has no such revision on the hub")
    connection = {"ConnectionError", "LocalEntryNotFoundError", "OfflineModeIsEnabled", "TransportError", "Timeout"}
    if names & connection or "offline" in said.lower() or "reach" in said.lower():
        return DistillError(
            f"{text}: not here, and the Hugging Face hub cannot be reached (or HF_HUB_OFFLINE is set); {folder}"
        )
    return DistillError(f"{text}: the hub's client says: {said or type(error).__name__}; {folder}")
