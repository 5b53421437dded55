import { escapeMarkup } from './chart-axes.ts';

/** A page without scripts that loads nothing: whatever it shows is in it. */
export interface HtmlPage {
  readonly title: string;
  /** Markup, after the title. */
  readonly body: readonly string[];
  /** Rules beside those of every page. */
  readonly style?: string;
}

export function htmlPage({ title, body, style = '' }: HtmlPage): string {
  const name = escapeMarkup(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${name}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<h1>${name}</h1>
${body.join('\n')}
</body>
</html>
`;
}

/** What is to be seen first: names with values, as plain text. */
export function tileList(tiles: readonly (readonly [name: string, value: string])[]): string {
  const items = tiles.map(
    ([name, value]) => `<div><dt>${escapeMarkup(name)}</dt><dd>${escapeMarkup(value)}</dd></div>`,
  );
  return `<dl>${items.join('')}</dl>`;
}

/** Names with values, as plain text, a row of each. */
export function settingsTable(rows: readonly (readonly [name: string, value: string])[]): string {
  const cells = rows.map(
    ([name, value]) => `<tr><th>${escapeMarkup(name)}</th><td>${escapeMarkup(value)}</td></tr>`,
  );
  return `<table>${cells.join('')}</table>`;
}

const STYLE = `
:root { color-scheme: light dark; --ground: #ffffff; --text: #1c2530; --soft: #66717e;
  --line: #e3e7ec; --first: #1f5fd0; --second: #c2570c; --faint: #a9c1ea; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161b; --text: #e4e8ed; --soft: #94a0ad; --line: #2a323b;
    --first: #78a9ff; --second: #f3a164; --faint: #3a5480; }
}
body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem; background: var(--ground);
  color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0; display: inline; }
dl { display: flex; flex-wrap: wrap; gap: .75rem 2rem; margin: 0 0 1.5rem; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1.75rem; }
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; }
figcaption span { color: var(--soft); font-size: .8rem; }
figcaption span::before { content: ""; display: inline-block; width: 1.2rem; margin-right: .4rem;
  vertical-align: middle; border-top: 2px solid var(--first); }
figcaption .faint::before { border-color: var(--faint); }
figcaption .second::before { border-color: var(--second); }
figcaption .limit::before { border-top: 1px dashed var(--soft); }
svg { display: block; width: 100%; height: auto; margin-top: .4rem; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); }
svg .limit { stroke: var(--soft); stroke-dasharray: 5 4; }
svg polyline { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke: var(--first); }
svg polyline.faint { stroke: var(--faint); stroke-width: 1; }
svg polyline.second { stroke: var(--second); }
svg circle { fill: var(--first); }
svg circle.second { fill: var(--second); }
table { border-collapse: collapse; margin-top: .5rem; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--soft); white-space: nowrap; vertical-align: top; }
`;
