// A dashboard's JSON with Prometheus' answers, drawn with Grafana's own components at the places that it gives.
import { Component } from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext, createTheme } from '@grafana/data';
import { PanelChrome } from '@grafana/ui';
import { Panel } from './panels';

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('mode') } });
// Grafana's grid: 24 columns, rows of 30 pixels, gaps of 8.
const GAP = 8, HEADER = 46, STEP = 38;
const width = Number(asked.get('width'));
const column = (width - 2 * GAP + GAP) / 24;

window.faults = [];
class Boundary extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  componentDidCatch(error) {
    window.faults.push(`${this.props.title}: ${error}`);
  }
  render() {
    return this.state.error ? <pre>{String(this.state.error)}</pre> : this.props.children;
  }
}

// Grafana has switches for the annotations and links to the other dashboards there.
function Header({ board, boards, label }) {
  return (
    <div style={{ padding: '10px 16px', fontSize: 18, fontWeight: 500, display: 'flex', alignItems: 'baseline', gap: 16, whiteSpace: 'nowrap' }}>
      {board.title}
      <span style={{ fontSize: 12, color: theme.colors.text.secondary, display: 'flex', gap: 14 }}>
        {board.annotations.list.map(({ name, iconColor }) => (
          <span key={name}>
            <span style={{ color: theme.visualization.getColorByName(iconColor) }}>▲</span> {name}
          </span>
        ))}
      </span>
      <span style={{ marginLeft: 'auto', fontSize: 12, color: theme.colors.text.secondary, display: 'flex', gap: 14 }}>
        {boards.map((title) => <span key={title}>↗ {title}</span>)}
        <span>{label}</span>
      </span>
    </div>
  );
}

function Board({ board, boards, answers, span, annotations, label }) {
  const { panels } = board;
  const height = HEADER + STEP * Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) + GAP;
  return (
    <div style={{ position: 'relative', width, height }}>
      <Header board={board} boards={boards} label={label} />
      {panels.map((panel) => {
        const { x, y, w, h } = panel.gridPos;
        const size = { width: w * column - GAP, height: h * STEP - GAP };
        const style = { position: 'absolute', left: GAP + x * column, top: HEADER + y * STEP, ...size };
        if (panel.type === 'row') {
          return <div key={panel.id} style={{ ...style, fontWeight: 500, paddingTop: 6 }}>{panel.collapsed ? '›' : '⌄'} {panel.title}</div>;
        }
        return (
          <div key={panel.id} style={style}>
            <PanelChrome title={panel.title} description={panel.description} {...size}>
              {(innerWidth, innerHeight) => (
                <Boundary title={panel.title}>
                  <Panel
                    panel={panel} answers={answers[panel.id]} width={innerWidth} height={innerHeight} span={span}
                    theme={theme} annotations={annotations}
                  />
                </Boundary>
              )}
            </PanelChrome>
          </div>
        );
      })}
    </div>
  );
}

async function main() {
  const data = await (await fetch(asked.get('data'))).json();
  document.body.style.background = theme.colors.background.canvas;
  document.body.style.color = theme.colors.text.primary;
  document.body.style.fontFamily = theme.typography.fontFamily;
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}><Board {...data} /></ThemeContext.Provider>,
  );
  window.drawn = true;
}

main().catch((error) => window.faults.push(String(error.stack)));
