// The panels: Grafana's components for figures and lines; stand-ins for what @grafana/ui does not have.
import {
  BigValue, BigValueColorMode, BigValueGraphMode, TimeSeries, VizRepeater,
} from '@grafana/ui';
import {
  VizOrientation, dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues,
} from '@grafana/data';
import { framesOf } from './frames';
import { States } from './states';
import { Heat } from './heat';

const Empty = ({ text, height, theme }) => (
  <div style={{ textAlign: 'center', paddingTop: height / 2 - 10, color: theme.colors.text.secondary }}>{text}</div>
);

// As Grafana's panel "stat" does it.
function Stat({ panel, answers, width, height, span, theme }) {
  const { source, frames } = framesOf(panel, answers, span, theme);
  const { options } = panel;
  const sparkline = options.graphMode !== BigValueGraphMode.None;
  const values = () => getFieldDisplayValues({
    fieldConfig: source, reduceOptions: options.reduceOptions, replaceVariables: (text) => text, theme, data: frames,
    sparkline, timeZone: 'utc',
  });
  const one = ({ value, alignmentFactors, width, height, count }) => (
    <BigValue
      value={value.display} count={count} sparkline={sparkline ? value.sparkline : undefined} theme={theme}
      colorMode={options.colorMode ?? BigValueColorMode.Value} graphMode={options.graphMode}
      justifyMode={options.justifyMode} textMode={options.textMode} alignmentFactors={alignmentFactors}
      text={options.text} width={width} height={height} wideLayout={options.wideLayout ?? true}
    />
  );
  return (
    <VizRepeater
      getValues={values} getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={one} width={width} height={height} source={frames} itemSpacing={3} renderCounter={1} autoGrid
      orientation={options.orientation ?? VizOrientation.Auto}
    />
  );
}

// Grafana draws annotations over the lines; that part of it is not in @grafana/ui.
function annotate(builder, annotations, theme) {
  builder.addHook('draw', (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const { at, color } of annotations) {
      const x = plot.valToPos(at, 'x', true);
      if (x >= bbox.left && x <= bbox.left + bbox.width) {
        ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(color);
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.beginPath();
        ctx.moveTo(x - 5, bbox.top + bbox.height + 7);
        ctx.lineTo(x + 5, bbox.top + bbox.height + 7);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.fill();
      }
    }
    ctx.restore();
  });
  return null;
}

function Lines({ panel, answers, width, height, span, theme, annotations }) {
  const { frames } = framesOf(panel, answers, span, theme);
  const range = { from: dateTime(span.start * 1000), to: dateTime(span.end * 1000), raw: { from: 'now', to: 'now' } };
  return (
    <TimeSeries
      frames={frames} structureRev={1} width={width} height={height} timeRange={range} timeZone="utc"
      legend={panel.options.legend} options={panel.options}
    >
      {(builder) => annotate(builder, annotations, theme)}
    </TimeSeries>
  );
}

const KINDS = { stat: Stat, timeseries: Lines, 'state-timeline': States, heatmap: Heat };

export function Panel(props) {
  const { panel, answers, height, theme } = props;
  const Kind = KINDS[panel.type];
  if (!Kind) {
    throw new Error(`there is no stand-in for panels of type ${panel.type}`);
  }
  if (panel.type !== 'stat' && answers.every((series) => !series.length)) {
    return <Empty text={panel.fieldConfig?.defaults.noValue ?? 'No data'} height={height} theme={theme} />;
  }
  return <Kind {...props} />;
}
