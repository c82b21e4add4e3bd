"""The named views of MLflow's runs page."""

from __future__ import annotations

import tomllib

from rdpt_core.provenance.curves import SIDES
from rdpt_core.provenance.labels import FOUR_WAY
from tasks import views


def test_each_view_charts_the_curves_of_all_configurations() -> None:
    state = views.state_of(
        {
            "order_by": "metrics.accuracy",
            "columns": ["metrics.accuracy"],
            "folded": ["grades"],
            "sections": [
                {"title": "By position", "lines": [["teacher/correct", "teacher/incorrect"]]},
                {"title": "Numbers", "bars": ["accuracy", "tokens"]},
            ],
        }
    )
    shown = {s["name"]: s["display"] for s in state["compareRunSections"]}
    assert shown == {"By position": True, "Numbers": True, "grades": False}
    charts = [
        (c["metricSectionId"], c["type"], c["selectedMetricKeys"])
        for c in state["compareRunCharts"]
    ]
    assert charts == [
        ("By position", "LINE", ["teacher/correct", "teacher/incorrect"]),
        ("Numbers", "BAR", ["accuracy"]),
        ("Numbers", "BAR", ["tokens"]),
    ]
    assert len({chart["uuid"] for chart in state["compareRunCharts"]}) == len(charts)


def test_correct_and_incorrect_answers_of_a_class_share_a_chart() -> None:
    (path,) = [path for path in views.view_files() if path.stem == "comparison"]
    view = tomllib.loads(path.read_text())
    curves = [[f"{label}/{side}" for side in SIDES] for label in FOUR_WAY]
    assert sorted(view["sections"][0]["lines"]) == sorted(curves)
    assert [f"{label}/share" for label in FOUR_WAY] in view["sections"][1]["bars"]
    assert set(view["widths"]) == set(view["columns"])
