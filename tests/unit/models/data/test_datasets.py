"""Parquet, Arrow, folders of Hugging Face datasets, and datasets on a scripted hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from breakeven.models.data import prompts, rows
from breakeven.models.data.sources import files
from breakeven.models.errors import BadRows, DistillError
from tests.support import hub
from tests.support.processes import CHECKOUT

ROWS: list[dict[str, Any]] = [
    {
        "id": f"r{i}",
        "messages": [{"role": "user", "content": f"question {i}"}, {"role": "assistant", "content": f"answer {i}"}],
        "category": "post" if i else None,
    }
    for i in range(3)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def test_without_the_package_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "a.parquet", tmp_path / "folder", Path("acme/support#train")):
        with pytest.raises(DistillError, match=r"needs the package \w+: pip install 'breakeven\[datasets\]'"):
            prompts.read([path])


def test_a_missing_file_is_not_taken_for_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "support").mkdir()
    for name in ("data/train.jsonl", "support/train", "a/b/c"):
        with pytest.raises(DistillError, match=r"cannot be read: No such file or directory"):
            prompts.read([Path(name)])


@pytest.fixture
def made(tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets", reason="datasets is absent; install the extra test")
    return datasets.Dataset.from_list(ROWS)


def check(source: Path) -> None:
    found = rows.read([source])
    assert [(one.id, one.text(), one.answer) for one in found] == [
        (f"r{i}", f"question {i}", f"answer {i}") for i in range(3)
    ]
    assert [one.category for one in found] == [None, "post", "post"]


def test_parquet_and_arrow_files(tmp_path: Path, made: Any) -> None:
    made.to_parquet(tmp_path / "a.parquet")
    made.to_parquet(tmp_path / "no-suffix")
    made.save_to_disk(tmp_path / "saved")
    check(tmp_path / "a.parquet")
    check(tmp_path / "no-suffix")
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    check(arrow)


def test_a_bad_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is absent; install the extra test")
    bad = datasets.Dataset.from_list([{"prompt": "a", "made": None}, {"prompt": " "}, {"prompt": "b"}])
    bad.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadRows, match=r"a\.parquet: row 2: prompt: must be a text that is not empty\. 1 of 3 rows"):
        prompts.read([tmp_path / "a.parquet"])
    for name in ("cut.parquet", "cut.arrow"):
        (tmp_path / name).write_bytes((tmp_path / "a.parquet").read_bytes()[:-30])
        with pytest.raises(DistillError, match=r"cut\.\w+: .*not (parquet|arrow), or cut off; copy it again"):
            prompts.read([tmp_path / name])


def test_saved_datasets_and_folders_like_a_repository(tmp_path: Path, made: Any) -> None:
    import datasets

    made.save_to_disk(tmp_path / "one")
    check(tmp_path / "one")
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(tmp_path / "two")
    check(tmp_path / "two#train")
    assert len(rows.read([tmp_path / "two#test"])) == 1
    with pytest.raises(DistillError, match=r"two: has the splits train, test; name one, such as .*two#train"):
        rows.read([tmp_path / "two"])
    with pytest.raises(DistillError, match=r"two: no split dev: it has the splits train, test"):
        rows.read([tmp_path / "two#dev"])
    (tmp_path / "repository" / "data").mkdir(parents=True)
    made.to_parquet(tmp_path / "repository" / "data" / "train-00000-of-00001.parquet")
    check(tmp_path / "repository")
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "train.jsonl").write_text(LINES + "nonsense\n")
    with pytest.raises(BadRows, match=r"lines/train\.jsonl: line 4: not JSON"):
        rows.read([tmp_path / "lines"])
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    with pytest.raises(DistillError, match=r"pictures: "):
        rows.read([tmp_path / "pictures"])


def test_a_folder_of_generate_is_a_dataset_with_two_splits(tmp_path: Path, made: Any) -> None:
    from breakeven.models.data.dataset import card

    money = {"usd": "0", "possibly_usd": "0"}
    kinds = ("different", "unanswered", "duplicates", "bad_rows", "synthetic")
    facts = {"splits": {"train": 3, "eval": 3}, "answers": {}, "cost": money, "teacher": {"model": "big"}}
    facts |= {"prompts": dict.fromkeys(kinds, 0), "keep_refusals": False, "consent": "now"}
    (tmp_path / "README.md").write_text(card(facts))
    for name in ("train", "eval", "rejected", "journal"):
        (tmp_path / f"{name}.jsonl").write_text(LINES)
    check(Path(f"{tmp_path}#eval"))
    assert files(Path(f"{tmp_path}#train")) == [tmp_path / "train.jsonl"]


def asked(arguments: list[str], folder: Path, **env: str) -> list[str]:
    """What reading each argument gives in a process with this environment: how many rows, or the error."""
    code = (
        "import sys; from pathlib import Path; from breakeven.models.data import rows\n"
        "for one in sys.argv[1:]:\n"
        "    try: print(len(rows.read([Path(one)])), 'rows')\n"
        "    except ValueError as error: print(error)\n"
    )
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    whole = {**known, "PYTHONPATH": CHECKOUT, "HF_HOME": str(folder / "cache"), **env}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=whole, cwd=folder, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_a_dataset_on_the_hub_is_fetched_by_its_name(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is absent; install the extra test")
    repository = tmp_path / "datasets" / "acme" / "support"
    repository.mkdir(parents=True)
    (repository / "train.jsonl").write_text(LINES)
    (repository / "test.jsonl").write_text(LINES.splitlines()[0] + "\n")
    names = ["acme/support#train", f"acme/support@{hub.COMMIT}#test", "acme/support", "acme/absent", "acme/support@v9"]
    with hub.running(tmp_path) as url:
        found = asked(names, tmp_path, HF_ENDPOINT=url)
        offline = asked(["acme/other"], tmp_path, HF_ENDPOINT=url, HF_HUB_OFFLINE="1")
    assert found[:2] == ["3 rows", "1 rows"]
    assert found[2] == "acme/support: has the splits train, test; name one, such as acme/support#train"
    assert "acme/absent: neither a file or folder here nor a dataset on the hub" in found[3]
    assert found[4] == "acme/support@v9: the dataset has no such revision on the hub"
    unreachable = asked(["acme/other"], tmp_path, HF_ENDPOINT=url)
    for (line,) in (offline, unreachable):
        assert line.startswith("acme/other: not here, and the Hugging Face hub cannot be reached"), line
        assert line.endswith("download the dataset where it is, and give its folder")
