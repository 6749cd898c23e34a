"""Lints and renders the chart with Helm's own engine; run by the Python that has it, not by pytest.

Takes JSON on the standard input, {"chart": FOLDER, "values": {…}}, and prints {"manifests": {path: text}, "lint": …} or
{"error": text}.
"""

from __future__ import annotations

import json
import sys

from helm_python.chart import Chart, lint
from helm_python.errors import HelmError


def main() -> None:
    asked = json.load(sys.stdin)
    answer: dict[str, object] = {}
    try:
        with Chart.load(asked["chart"]) as chart:
            answer["manifests"] = chart.render(asked["values"], name="try", namespace="breakeven")
        answer["lint"] = lint(asked["chart"], asked["values"], strict=True, quiet=True)
    except HelmError as error:
        answer["error"] = str(error)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
