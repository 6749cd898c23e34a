"""Builders that the dashboards share: their variables, and panels with a title, a description and a unit."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as queries

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Money and tokens come from the shared ledger, the same on each replica: aggregate with max. Other counters: sum.
JOB = '{job=~"$job"}'
GREEN, RED, BLUE, ORANGE, GREY = "green", "red", "blue", "orange", "#8e8e8e"
Target = tuple[str, str]  # expression, legend


def job(*matchers: str) -> str:
    """A label selector with the dashboard's job variable and further matchers."""
    return "{" + ", ".join(['job=~"$job"', *matchers]) + "}"


def start(
    uid: str, title: str, description: str, *, since: str = "now-24h", jobs: str = "breakeven_requests_total"
) -> dashboard.Dashboard:
    """A dashboard without panels that opens at the time range from `since` on, with links to the others, and the
    variables for data source and job (label values of the metric `jobs`).
    """
    links = (
        dashboard.DashboardLink("Breakeven")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["breakeven"])
        .include_vars(True)
        .keep_time(False)
    )
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["breakeven"])
        .link(links)
        .timezone("browser")
        .refresh("30s")
        .time(since, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Job")
            .query(f"label_values({jobs}, job)")
            .datasource(SOURCE)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
            .all_value(".+")
            .current(models.VariableOption(text="All", value="$__all"))
        )
    )


def figure(
    title: str, description: str, expression: str | Sequence[Target], unit: str, *,
    steps: Sequence[tuple[float | None, str]] = (), none: str = "no data yet", width: int = 4, height: int = 4,
    decimals: float | None = None, words: Sequence[tuple[str, str]] = (),
) -> Builder[models.Panel]:  # fmt: skip
    """A stat panel with the current value of an expression, or of several with their names.

    `steps` are (lower bound, color) pairs, `none` is shown without data, `width` is in 24ths of the dashboard. `words`
    are the text and the color that the values 0, 1, … are shown as.
    """
    several = not isinstance(expression, str)
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .no_value(none)
        .height(height)
        .span(width)
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .color_mode(shapes.BigValueColorMode.VALUE)
        .text_mode(shapes.BigValueTextMode.VALUE_AND_NAME if several else shapes.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(steps or [(None, BLUE)]))
    )
    if words:
        panel = panel.mappings([_mapping(words)])
    targets = [(expression, title)] if isinstance(expression, str) else expression
    for index, (one, legend) in enumerate(targets):
        panel = panel.with_target(_query(chr(ord("A") + index), one, legend, instant=True))
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str, description: str, targets: Sequence[Target], unit: str, *, colors: dict[str, str] | None = None,
    width: int = 12, height: int = 8, stack: str | None = None, fill: int = 0, low: float | None = None,
    soft: float | None = None, dashed: Sequence[str] = (), dots: Sequence[str] = (),
    band: tuple[str, str] | None = None, limit: float | None = None, none: str = "no data yet", exemplars: bool = False,
    bridged: bool = False,
) -> Builder[models.Panel]:  # fmt: skip
    """A time series panel.

    `stack` is `normal` or `percent`; `low` is where the axis begins and `soft` where it ends at least; `colors`,
    `dashed`, `dots` and `band` go by legend, `dashed` also by a regular expression between slashes: `dots` are drawn as
    points, `band` are the lower and the upper series of an interval, with the area between them filled. `limit` is
    drawn as a red line. `none` is shown without data, `exemplars` are those of traces, `bridged` draws lines over
    times without data. `width` is in 24ths of the dashboard.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .no_value(none)
        .span(width)
        .height(height)
        # A line around the area of a series that is 0 would be drawn on top of the series below it.
        .line_width(0 if stack else 2)
        .fill_opacity(75 if stack else fill)
        .show_points(shapes.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(shapes.LegendDisplayMode.LIST)
            .placement(shapes.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI))
    )
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(shapes.StackingMode(stack)).group("A"))
    if low is not None:
        panel = panel.min(low)
    if soft is not None:
        panel = panel.axis_soft_max(soft)
    if bridged:
        panel = panel.span_nulls(True)
    if limit is not None:
        panel = panel.thresholds(_steps([(None, RED), (limit, "transparent")]))
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphTresholdsStyleMode.DASHED))
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": color})])
    for name in dashed:
        override = panel.override_by_regexp if name.startswith("/") else panel.override_by_name
        panel = override(name, [_value("custom.lineStyle", {"fill": "dash", "dash": [10, 6]})])
    for name in dots:
        points = [_value("custom.drawStyle", "points"), _value("custom.pointSize", 12)]
        panel = panel.override_by_name(name, [*points, _value("custom.showPoints", "always")])
    if band is not None:
        thin = [_value("custom.lineWidth", 1), _value("custom.fillOpacity", 15)]
        panel = panel.override_by_name(band[0], [_value("custom.lineWidth", 1)])
        panel = panel.override_by_name(band[1], [*thin, _value("custom.fillBelowTo", band[0])])
    for index, (expression, legend) in enumerate(targets):
        panel = panel.with_target(_query(chr(ord("A") + index), expression, legend, exemplars=exemplars))
    return panel


def heat(title: str, description: str, metric: str, *, width: int = 12) -> Builder[models.Panel]:
    """A heatmap of a histogram metric over time."""
    expression = f"sum by (le) (increase({metric}_bucket{JOB}[$__rate_interval]))"
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .no_value("no request was scored")
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(heatmap.YAxisConfig().unit("none"))
        .with_target(_query("A", expression, "{{le}}", heat=True))
    )


def states(
    title: str, description: str, expression: str, legend: str, values: Sequence[tuple[str, str]], *, width: int = 12,
    none: str = "no data yet",
) -> Builder[models.Panel]:  # fmt: skip
    """A state timeline of an expression whose value 0, 1, … has the text and the color at that place of `values`."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .no_value(none)
        .span(width)
        .height(6)
        .mappings([_mapping(values)])
        .with_target(_query("A", expression, legend))
    )


def row(title: str) -> dashboard.Row:
    """A row heading; panels that are added to it are shown once somebody opens it."""
    return dashboard.Row(title)


def _query(
    ref: str, expression: str, legend: str, *, instant: bool = False, heat: bool = False, exemplars: bool = False
) -> prometheus.Dataquery:
    query = prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(expression).legend_format(legend)
    query = query.instant() if instant else query.range()
    if exemplars:
        query = query.exemplar(True)
    return query.format(queries.PromQueryFormat.HEATMAP) if heat else query


def _mapping(values: Sequence[tuple[str, str]]) -> models.ValueMap:
    return models.ValueMap(
        options={
            str(number): models.ValueMappingResult(text=text, color=color)
            for number, (text, color) in enumerate(values)
        }
    )


def _steps(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    values = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(values)


def _value(id: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=id, value=value)
