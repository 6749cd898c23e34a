// A stand-in for Grafana's panel "state timeline": a row for each series, a bar for each time in one state.
import { BOTTOM, LEFT, TimeAxis } from './axis';
import { framesOf } from './frames';

function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) {
      return;
    }
    const last = found.at(-1);
    if (last && last.value === value && last.end === index) {
      last.end = index + 1;
    } else {
      found.push({ value, begin: index, end: index + 1 });
    }
  });
  return found;
}

export function States({ panel, answers, width, height, span, theme }) {
  const { frames } = framesOf(panel, answers, span, theme);
  const room = (height - BOTTOM) / Math.max(frames.length, 1);
  const scale = (width - LEFT - 10) / Math.max(frames[0]?.length ?? 1, 1);
  return (
    <svg width={width} height={height}>
      {frames.map((frame, row) => {
        const field = frame.fields[1];
        return (
          <g key={row}>
            <text x={LEFT - 8} y={(row + 0.5) * room + 4} textAnchor="end" fontSize="12" fill={theme.colors.text.primary}>
              {frame.name}
            </text>
            {runs(field.values).map(({ value, begin, end }) => {
              const shown = field.display(value);
              return (
                <g key={begin}>
                  <rect
                    x={LEFT + begin * scale} y={row * room + room * 0.08} width={(end - begin) * scale}
                    height={room * 0.84} fill={shown.color} fillOpacity="0.7"
                  />
                  {(end - begin) * scale > 60 && (
                    <text
                      x={LEFT + begin * scale + 8} y={(row + 0.5) * room + 4} fontSize="12"
                      fill={theme.colors.getContrastText(shown.color)}
                    >
                      {shown.text}
                    </text>
                  )}
                </g>
              );
            })}
          </g>
        );
      })}
      <TimeAxis span={span} width={width} height={height} theme={theme} />
    </svg>
  );
}
