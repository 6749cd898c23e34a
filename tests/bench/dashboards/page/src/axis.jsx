// The time axis of the stand-ins.
import { dateTimeFormat } from '@grafana/data';

export const LEFT = 120, BOTTOM = 22;

export function TimeAxis({ span, width, height, theme }) {
  const length = span.end - span.start;
  const every = [300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600]
    .find((seconds) => length / seconds < (width - LEFT) / 70) ?? length;
  const long = every >= 86400;
  const ticks = [];
  for (let at = Math.ceil(span.start / every) * every; at < span.end; at += every) {
    ticks.push(at);
  }
  const x = (at) => LEFT + ((at - span.start) / (span.end - span.start)) * (width - LEFT - 10);
  return ticks.map((at) => (
    <text key={at} x={x(at)} y={height - 6} textAnchor="middle" fontSize="12" fill={theme.colors.text.primary}>
      {dateTimeFormat(at * 1000, { format: long ? 'MM/DD' : 'HH:mm', timeZone: 'utc' })}
    </text>
  ));
}
