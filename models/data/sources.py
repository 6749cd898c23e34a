"""The files behind an argument that names data: a file, a folder of a Hugging Face dataset, or a dataset on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from breakeven.models.data.hub import HubName, hub_name, refused
from breakeven.models.data.records import needs_datasets
from breakeven.models.errors import DistillError

_READ = ("json", "csv", "parquet", "arrow")
_IS_FILE = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".gz", ".bz2", ".xz")
_ON_HUB = re.compile(r"hf://datasets/(?P<name>[^/]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<path>.+)")


def files(source: Path) -> list[Path]:
    """The files that a source stands for: itself, or those of a dataset's split, which `#split` names where it has
    several (`folder#train`, `owner/name@revision:config#test`).

    Raises DistillError where a dataset has no such split, no files that can be read, or cannot be fetched.
    """
    if source.is_file():
        return [source]
    name, mark, split = str(source).rpartition("#")
    text = name if mark else str(source)
    if Path(text).is_dir():
        return _in_folder(Path(text), split if mark else None)
    wanted = None if text.lower().endswith(_IS_FILE) else hub_name(text)
    return [source] if wanted is None else _on_hub(text, wanted, split if mark else None)


def _in_folder(folder: Path, split: str | None) -> list[Path]:
    """The files of a folder that `save_to_disk` wrote, or that is laid out as a repository of the hub."""
    listed = folder / "dataset_dict.json"
    if listed.is_file():
        names = _json(listed).get("splits")
        chosen = _chosen(str(folder), {str(one): [] for one in names} if isinstance(names, list) else {}, split)
        return _in_folder(folder / chosen, None)
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        found = _json(folder / "state.json").get("_data_files")
        return [folder / str(one["filename"]) for one in found] if isinstance(found, list) else []
    needs_datasets(f"{folder}: reading a folder")
    by_split = _by_split(str(folder), str(folder), None, None)
    return [Path(one) for one in by_split[_chosen(str(folder), by_split, split)]]


def _on_hub(text: str, wanted: HubName, split: str | None) -> list[Path]:
    needs_datasets(f"{text}: a dataset on the hub")
    from huggingface_hub import hf_hub_download

    by_split = _by_split(text, wanted.name, wanted.config, wanted.revision)
    made = []
    for url in by_split[_chosen(text, by_split, split)]:
        found = _ON_HUB.fullmatch(url)
        if found is None:
            raise DistillError(f"{text}: its files are not on the hub; download the dataset and give its folder")
        try:
            path = hf_hub_download(found["name"], found["path"], repo_type="dataset", revision=found["revision"])
        except Exception as error:
            raise refused(text, "dataset", error) from None
        made.append(Path(path))
    return made


def _by_split(text: str, name: str, config: str | None, revision: str | None) -> Mapping[str, Sequence[str]]:
    """The data files of a dataset by split, as `datasets` finds them; errors name it `text`. Raises DistillError."""
    from datasets import load_dataset_builder
    from datasets.utils.logging import set_verbosity_error
    from huggingface_hub import HfApi

    set_verbosity_error()
    try:
        if not Path(name).is_dir():  # Which fails at once; `datasets` would ask an unreachable hub for 25 s.
            HfApi().dataset_info(name, revision=revision, timeout=30)
        builder = load_dataset_builder(name, config, revision=revision)
    except Exception as error:
        if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
            said = " ".join(str(error).split("Example")[0].split())
            raise DistillError(f"{name}: {said} Name one after a colon, such as {name}:main") from None
        if Path(name).is_dir():
            raise DistillError(
                f"{name}: no dataset in this folder ({' '.join(str(error).split())[:160]}); give its files instead"
            ) from None
        raise refused(text, "dataset", error) from None
    found: dict[str, Sequence[str]] = builder.config.data_files or {}
    kinds = {one.__name__.lower() for one in type(builder).__mro__}
    if not kinds & set(_READ) or not found:
        raise DistillError(f"{name}: holds no files that can be read; they must be one of {', '.join(_READ)}")
    return {str(split): [str(one) for one in listed] for split, listed in found.items()}


def _chosen(name: str, by_split: Mapping[str, Any], split: str | None) -> str:
    if split in by_split or (split is None and len(by_split) == 1):
        return split or next(iter(by_split))
    has = f"has the splits {', '.join(by_split)}" if by_split else "has no splits"
    wrong = f"no split {split}: it {has}" if split else has
    raise DistillError(f"{name}: {wrong}; name one, such as {name}#{next(iter(by_split), 'train')}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DistillError(f"{path}: cannot be read; save the dataset again, or give its files")
    return found
