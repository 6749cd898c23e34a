// Prometheus' answers as Grafana's data frames, with the panel's field options applied by Grafana's own code.
import {
  FieldColorModeId, FieldConfigOptionsRegistry, FieldType, applyFieldOverrides, toDataFrame,
} from '@grafana/data';

const STANDARD = ['unit', 'min', 'max', 'decimals', 'noValue', 'displayName', 'color', 'thresholds', 'mappings'];
const CUSTOM = [
  'drawStyle', 'lineWidth', 'lineStyle', 'lineInterpolation', 'fillOpacity', 'fillBelowTo', 'showPoints', 'pointSize',
  'stacking', 'spanNulls', 'axisPlacement', 'axisSoftMin', 'axisSoftMax', 'axisLabel', 'axisCenteredZero', 'hideFrom',
  'scaleDistribution', 'gradientMode', 'axisColorMode', 'thresholdsStyle', 'barAlignment',
];

function property(name, isCustom) {
  return {
    id: isCustom ? `custom.${name}` : name, path: name, name, isCustom, editor: null, override: null, settings: {},
    process: (value) => value, shouldApply: () => true,
  };
}

export const registry = new FieldConfigOptionsRegistry(() => [
  ...STANDARD.map((name) => property(name, false)), ...CUSTOM.map((name) => property(name, true)),
]);

// The values that Grafana's time series panel sets where a dashboard says nothing.
const LINES = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', pointSize: 5,
  showPoints: 'auto', spanNulls: false, stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisLabel: '',
  axisColorMode: 'text', axisCenteredZero: false, scaleDistribution: { type: 'linear' }, barAlignment: 0,
  hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' },
};

function legend(target, labels) {
  const text = (target.legendFormat || '').replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
  // As Grafana's Prometheus data source does it.
  const all = Object.entries(labels).filter(([k]) => k !== '__name__').map(([k, v]) => `${k}="${v}"`).join(', ');
  return text || (all ? `${labels.__name__ ?? ''}{${all}}` : labels.__name__ || target.expr);
}

const number = (text) => (text === 'NaN' ? NaN : Number(text));

// Grafana shows a gap where a query has no sample at a step.
function filled(values, span) {
  const found = new Map(values.map(([at, value]) => [Math.round(at * 10), number(value)]));
  const times = [], numbers = [];
  for (let at = span.start; at <= span.end + 0.001; at += span.step) {
    times.push(at * 1000);
    numbers.push(found.get(Math.round(at * 10)) ?? null);
  }
  if (found.size && numbers.every((one) => one === null)) {
    throw new Error('no sample is at one of the steps');
  }
  return [times, numbers];
}

function frame(target, series, span) {
  const name = legend(target, series.metric);
  const [times, values] = series.value
    ? [[series.value[0] * 1000], [number(series.value[1])]] : filled(series.values, span);
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: {} },
      { name: 'Value', type: FieldType.number, values, labels: series.metric, config: { displayNameFromDS: name } },
    ],
  });
}

export function framesOf(panel, answers, span, theme) {
  const data = panel.targets.flatMap((target, index) => answers[index].map((series) => frame(target, series, span)));
  const source = structuredClone(panel.fieldConfig ?? { defaults: {}, overrides: [] });
  const defaults = source.defaults;
  defaults.color ??= { mode: panel.type === 'timeseries' ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds };
  defaults.thresholds ??= { mode: 'absolute', steps: [{ value: null, color: 'green' }] };
  if (panel.type === 'timeseries') {
    defaults.custom = { ...LINES, ...defaults.custom };
  }
  return {
    source,
    frames: applyFieldOverrides({
      data, fieldConfig: source, fieldConfigRegistry: registry, theme, timeZone: 'utc', replaceVariables: (text) => text,
    }),
  };
}

