// Bundles the page with esbuild: `node build.mjs OUT`, with the packages of package-lock.json found by $NODE_PATH.
import { createRequire } from 'node:module';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';

const out = process.argv[2];
const packages = process.env.NODE_PATH;
const esbuild = createRequire(join(packages, 'any.js'))('esbuild');
const embedded = Object.fromEntries(['woff', 'woff2', 'png', 'ttf', 'eot'].map((kind) => [`.${kind}`, 'dataurl']));

await esbuild.build({
  entryPoints: [join(import.meta.dirname, 'src/main.jsx')],
  outfile: join(out, 'app.js'),
  bundle: true,
  format: 'iife',
  platform: 'browser',
  nodePaths: [packages],
  jsx: 'automatic',
  mainFields: ['browser', 'module', 'main'],
  loader: { ...embedded, '.svg': 'text' },
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  // Of parsers that the page never runs.
  external: ['stream', 'tty', 'util', 'fs', 'path'],
  logLevel: 'error',
});
copyFileSync(join(import.meta.dirname, 'src/index.html'), join(out, 'index.html'));
