"""The measurements of docs/benchmarks/router.md: each trains on the train split and measures on another split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from breakeven.router import outcomes
from breakeven.router.evaluation.evaluate import Evaluation, apgr, auroc, cpt, ece, evaluate
from breakeven.router.features.extract import extract
from breakeven.router.model.novelty import Novelty, shrink
from breakeven.router.outcomes import OutcomeRow, scores, texts
from breakeven.router.text import read_chat
from breakeven.router.training.novelty import fit_novelty
from breakeven.router.training.train import Fit, fit

CHAT = ("alpaca_eval", "routellm_mtbench")
GSM = ("routellm_gsm8k",)
MMLU = ("routellm_mmlu",)
SEED = 20261125

Row = dict[str, Any]


class Data:
    """The outcome files of a folder, each read once; `split` is the one to measure on."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self._read: dict[str, list[OutcomeRow]] = {}

    def rows(self, names: Sequence[str], split: str) -> list[OutcomeRow]:
        """The rows of these files in this split, in the files' order; those of the train split in a fixed random order,
        so that the first n of them are a random sample.
        """
        for name in names:
            if name not in self._read:
                self._read[name] = outcomes.read([self.folder / f"{name}.jsonl.gz"])
        found = [row for name in names for row in self._read[name] if row.split == split]
        if split != "train":
            return found
        return [found[index] for index in np.random.default_rng(SEED).permutation(len(found))]


def assessed(fitted: Fit, rows: Sequence[OutcomeRow], *, shrunk: bool = True) -> np.ndarray:
    """The scores of n rows, (n,); with `shrunk` they are shrunk by novelty, as in serving."""
    difficulty = fitted.difficulty()
    features = [extract(text) for text in texts(rows)]
    raw = np.array([difficulty.calibrate(difficulty.gain(item)) for item in features])
    if not shrunk:
        return raw
    novelty = Novelty(fitted.reference.tables)
    far = [novelty.quantile(item) for item in features]
    return np.array([shrink(score, n, fitted.base) for score, n in zip(raw, far, strict=True)])


def measured(rows: Sequence[OutcomeRow], score: np.ndarray) -> Evaluation:
    """The evaluation of scores (n,) on n rows."""
    lengths = np.array([len(text) for text in texts(rows)], dtype=float)
    return evaluate(score, lengths, *scores(rows))


def routing(data: Data) -> Iterator[tuple[str, Evaluation]]:
    """The measures of in-domain routing: a description of what was trained and tested, and its evaluation."""
    mmlu, chat, gsm = (data.rows(names, "train") for names in (MMLU, CHAT, GSM))
    test = data.rows(MMLU, data.split)
    yield "MMLU, trained in-domain", measured(test, assessed(fit(mmlu), test))
    yield "MMLU, 1,500 in-domain rows + chat, first draw", measured(test, assessed(fit([*mmlu[:1500], *chat]), test))
    mixed = data.rows((*MMLU, *CHAT, *GSM), data.split)
    yield "mixed MMLU + chat + GSM8K", measured(mixed, assessed(fit([*mmlu, *chat, *gsm]), mixed))
    for name in ("mmlu_pro", "zeroeval_math_l5", "zeroeval_crux", "routellm_gsm8k"):
        own = data.rows((name,), data.split)
        yield f"{name}, trained in-domain", measured(own, assessed(fit(data.rows((name,), "train")), own))


def few_in_domain(data: Data) -> Row:
    """Trained on 1,500 MMLU rows and chat: mean and standard deviation over five samples of the 1,500."""
    mmlu, chat, test = data.rows(MMLU, "train"), data.rows(CHAT, "train"), data.rows(MMLU, data.split)
    student, teacher = scores(test)
    found = []
    for draw in range(5):
        some = [mmlu[index] for index in np.random.default_rng(draw).permutation(len(mmlu))[:1500]]
        score = assessed(fit([*some, *chat]), test)
        shares = (cpt(part, score, student, teacher) for part in (0.5, 0.8))
        found.append((apgr(score, student, teacher), *shares, auroc(score, student < teacher)))
    names = ("APGR", "CPT(50)", "CPT(80)", "AUROC")
    return dict(zip(names, zip(np.mean(found, axis=0), np.std(found, axis=0), strict=True), strict=True))


def out_of_domain(data: Data) -> Row:
    """Trained on MMLU and chat, tested on GSM8K: the calibration with and without shrinking by novelty."""
    fitted = fit([*data.rows(MMLU, "train"), *data.rows(CHAT, "train")])
    rows = data.rows(GSM, data.split)
    student, teacher = scores(rows)
    worse = student < teacher
    with_it, without = assessed(fitted, rows), assessed(fitted, rows, shrunk=False)
    result = measured(rows, with_it).measures["router"]
    return {"ECE": ece(with_it, worse), "ECE without novelty": ece(without, worse), "APGR": result["APGR"].value}


def few_labels(data: Data) -> list[Row]:
    """The AUROC with 300 rows of one file, with and without a router of other files as prior: mean of five samples."""
    found = []
    for name, others in (("mmlu_pro", MMLU), ("routellm_mmlu", ("mmlu_pro",))):
        rows, test = data.rows((name,), "train"), data.rows((name,), data.split)
        student, teacher = scores(test)
        row: Row = {"rows": name, "prior": others[0]}
        prior = fit(data.rows(others, "train")).difficulty()
        for label, known in (("without", None), ("with prior", prior)):
            values = []
            for draw in range(5):
                some = [rows[i] for i in np.random.default_rng(draw).permutation(len(rows))[:300]]
                fitted = fit(some, prior=known)
                difficulty = fitted.difficulty()
                score = np.array([difficulty.score(text) for text in texts(test)])
                values.append(auroc(score, student < teacher))
            row[label] = float(np.mean(values))
        found.append(row)
    return found


def novelty(data: Data) -> list[Row]:
    """AUROC and detection rates of novelty with 28 of 57 MMLU subjects as reference set: mean of three choices."""
    rows = {part: data.rows(MMLU, part) for part in ("train", data.split)}
    subjects = sorted({str(row.category) for row in rows["train"]})
    probes = _probes(data)
    sums: dict[str, list[tuple[float, float, float]]] = {}
    for draw in range(3):
        order = np.random.default_rng(draw).permutation(len(subjects))
        # The first choice is every second subject in alphabetical order, the others are random.
        known = set(subjects[::2][:28]) if draw == 0 else {subjects[i] for i in order[:28]}
        signal = Novelty(fit_novelty([extract(r.text) for r in rows["train"] if r.category in known]).tables)

        def far(found: Sequence[str], signal: Novelty = signal) -> np.ndarray:
            return np.array([signal.quantile(extract(text)) for text in found])

        near = far([r.text for r in rows[data.split] if r.category in known])
        sums.setdefault("(known subjects)", []).append(
            (0.5, float((near >= 0.99).mean()), float((near >= 0.95).mean()))
        )
        others = [r.text for r in rows[data.split] if r.category not in known]
        for name, found in {"other subjects": others, **probes}.items():
            values = far(found)
            labels = np.concatenate([np.zeros(len(near), bool), np.ones(len(values), bool)])
            area = auroc(np.concatenate([near, values]), labels)
            sums.setdefault(name, []).append((area, float((values >= 0.99).mean()), float((values >= 0.95).mean())))
    return [
        {"probe": name, **dict(zip(("AUROC", "at 1%", "at 5%"), np.mean(found, axis=0).tolist(), strict=True))}
        for name, found in sums.items()
    ]


def _probes(data: Data) -> dict[str, list[str]]:
    splits = ("train", "dev", "test")
    named = {"GSM8K": GSM, "chat": CHAT, "code": ("zeroeval_crux",)}
    probes = {name: [r.text for s in splits for r in data.rows(files, s)] for name, files in named.items()}
    groups = {"lang": "other languages", "word": "word salad"}
    for text, category in _unscored(data.folder / "ood_prompts.jsonl.gz"):
        probes.setdefault(groups.get(category[:4], "noise"), []).append(text)
    return probes


def _unscored(path: Path) -> Iterator[tuple[str, str]]:
    import gzip
    import json

    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield read_chat([{"role": "user", "content": row["prompt"]}]).text, row["category"]
