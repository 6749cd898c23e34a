// A stand-in for Grafana's panel "heatmap" of a histogram: a column for each step, a row of the same height for each
// bucket, as Grafana draws buckets that a data source has counted.
import { BOTTOM, LEFT, TimeAxis } from './axis';

const upper = (series) => Number(series.metric.le.replace('+Inf', 'Infinity'));

// Prometheus' buckets contain those below them.
function countsOf(answers, span) {
  const steps = Math.round((span.end - span.start) / span.step) + 1;
  const sorted = [...answers].sort((a, b) => upper(a) - upper(b));
  const cumulated = sorted.map(({ values }) => {
    const row = new Array(steps).fill(0);
    values.forEach(([at, value]) => { row[Math.round((at - span.start) / span.step)] = Number(value); });
    return row;
  });
  return sorted.map((series, index) => ({
    name: series.metric.le,
    counts: cumulated[index].map((value, at) => Math.max(0, value - (index ? cumulated[index - 1][at] : 0))),
  }));
}

export function Heat({ answers, width, height, span, theme }) {
  const rows = countsOf(answers[0], span);
  const most = Math.max(1e-9, ...rows.flatMap((row) => row.counts));
  const room = (height - BOTTOM - 4) / Math.max(rows.length, 1), wide = width - LEFT - 10;
  const y = (index) => 4 + (rows.length - 1 - index) * room;
  const color = theme.visualization.getColorByName('blue');
  const label = Math.ceil(16 / room);
  return (
    <svg width={width} height={height}>
      {rows.map(({ name, counts }, index) => (
        <g key={name}>
          {counts.map((count, at) => count > 0.01 && (
            <rect
              key={at} x={LEFT + (at / counts.length) * wide} width={wide / counts.length + 0.5} y={y(index)} height={room}
              fill={color} fillOpacity={0.15 + 0.85 * (count / most)}
            />
          ))}
          {index % label === 0 && (
            <text x={LEFT - 8} y={y(index) + room / 2 + 4} textAnchor="end" fontSize="12" fill={theme.colors.text.primary}>
              {name}
            </text>
          )}
        </g>
      ))}
      <TimeAxis span={span} width={width} height={height} theme={theme} />
    </svg>
  );
}
