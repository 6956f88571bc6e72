import { linearScale, logScale, type Scale } from './scale.ts'

/** A line of a plot. */
export interface Series {
  readonly name: string
  /** In order of x; a y that is no number is a gap. */
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Filled down to the axis, and drawn behind lines. @default false */
  readonly isArea?: boolean
}

/** A plot with axes of its own. */
export interface Panel {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  /** x goes by ratios, and these values are written. @default evenly, from the least to the greatest */
  readonly xTicks?: readonly number[]
  /** y goes up to there at least. @default what is greatest */
  readonly yTo?: number
  /** @default 0 */
  readonly yFrom?: number
  /** Upright lines: what was chosen, or when something happens. */
  readonly marks?: readonly { readonly x: number; readonly name: string }[]
}

const WIDTH = 760
const LEFT = 56
const RIGHT = 16
const HEAD = 34
/** Of a panel: its title, its lines, its legend, and its axis below. */
const TITLE = 22
const PLOT = 170
const LEGEND_ROW = 18
const AXIS = 46
const INNER = WIDTH - LEFT - RIGHT
/** There is room for about so many numbers below. */
const X_NUMBERS = 10

/** Colours that differ for those too who see fewer (Okabe and Ito, 2008), for light pages and for dark ones. */
const COLOURS = [
  ['#0072b2', '#56b4e9'],
  ['#d55e00', '#ff9254'],
  ['#009e73', '#2fd3a5'],
  ['#b0508a', '#e69ac7'],
  ['#a67c00', '#f0c93c'],
  ['#555555', '#bbbbbb'],
] as const
const DASHES = ['', '6 3', '2 3', '8 3 2 3', '1 2', '10 4'] as const

/** Panels under each other, as an SVG document for light pages and for dark ones. The same panels are the same bytes. */
export function plotSvg(title: string, panels: readonly Panel[]): string {
  let top = HEAD
  const drawn = panels.map((panel) => {
    const lines = panelLines(panel, top)
    top += heightOf(panel)
    return lines
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style()}</style>`,
    `<rect class="page" width="${WIDTH}" height="${top}"/>`,
    `<text class="head" x="${LEFT}" y="22">${escaped(title)}</text>`,
    ...drawn.flat(),
    '</svg>',
    '',
  ].join('\n')
}

function style(): string {
  const colours = (at: 0 | 1): string =>
    COLOURS.map((colour, index) => `.s${index}{stroke:${colour[at]}}.f${index}{fill:${colour[at]}}`).join('')
  const light = `.page{fill:#fff}text{fill:#24292f}.axis{stroke:#57606a}.grid{stroke:#d8dee4}.mark{stroke:#57606a}${colours(0)}`
  const dark = `.page{fill:#0d1117}text{fill:#e6edf3}.axis{stroke:#8b949e}.grid{stroke:#30363d}.mark{stroke:#8b949e}${colours(1)}`
  const dashes = DASHES.map((dash, index) =>
    dash === '' ? '' : `.d${index}{stroke-dasharray:${dash}}`,
  ).join('')
  return [
    'text{font:12px system-ui,sans-serif}.head{font-size:15px;font-weight:600}.title{font-weight:600}',
    '.end{text-anchor:end}.middle{text-anchor:middle}.line{fill:none;stroke-width:2;stroke-linejoin:round}',
    '.area{fill-opacity:.25;stroke:none}.mark{stroke-dasharray:3 3}',
    ...[dashes, light, `@media(prefers-color-scheme:dark){${dark}}`],
  ].join('')
}

/** Where a panel draws. */
interface Frame {
  readonly x: (value: number) => string
  readonly y: (value: number) => string
  readonly bottom: number
}

function panelLines(panel: Panel, top: number): readonly string[] {
  const plotTop = top + TITLE + LEGEND_ROW * legendRows(panel).length
  const bottom = plotTop + PLOT
  const [xs, ys] = [xScale(panel), yScale(panel)]
  const frame: Frame = {
    x: (value) => fixed(LEFT + INNER * xs.at(value)),
    y: (value) => fixed(bottom - PLOT * Math.min(1, Math.max(0, ys.at(value)))),
    bottom,
  }
  const areas = panel.series.filter(({ isArea }) => isArea)
  return [
    `<text class="title" x="${LEFT}" y="${top + 14}">${escaped(panel.title)}</text>`,
    ...legend(panel, top + TITLE),
    ...axes(panel, frame, xs, ys),
    ...areas.map((series) => areaOf(series, panel.series.indexOf(series), frame)),
    ...panel.series.flatMap((series, index) => lineOf(series, index, frame)),
    ...(panel.marks ?? []).flatMap((mark) => markOf(mark, frame, plotTop)),
  ]
}

function xScale({ series, xTicks }: Panel): Scale {
  if (xTicks !== undefined) return logScale(xTicks)
  const xs = series.flatMap(({ points }) => points.map(([x]) => x))
  return linearScale(Math.min(...xs), Math.max(...xs), X_NUMBERS)
}

function yScale({ series, yFrom = 0, yTo }: Panel): Scale {
  const ys = series.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite)
  return linearScale(yFrom, Math.max(yTo ?? yFrom, ...ys, yFrom + 1e-6))
}

function axes({ x, y }: Panel, frame: Frame, xs: Scale, ys: Scale): readonly string[] {
  const right = LEFT + INNER
  return [
    ...ys.ticks.flatMap((tick) => [
      `<line class="grid" x1="${LEFT}" x2="${right}" y1="${frame.y(tick)}" y2="${frame.y(tick)}"/>`,
      `<text class="end" x="${LEFT - 6}" y="${fixed(Number(frame.y(tick)) + 4)}">${numberOf(tick)}</text>`,
    ]),
    `<line class="axis" x1="${LEFT}" x2="${right}" y1="${frame.bottom}" y2="${frame.bottom}"/>`,
    ...xs.ticks.map(
      (tick) => `<text class="middle" x="${frame.x(tick)}" y="${frame.bottom + 16}">${numberOf(tick)}</text>`,
    ),
    `<text class="middle" x="${fixed(LEFT + INNER / 2)}" y="${frame.bottom + 34}">${escaped(x)}</text>`,
    `<text class="end" x="${right}" y="${frame.bottom - PLOT - 6}">${escaped(y)}</text>`,
  ]
}

/** Its points, in pieces without gaps. */
function piecesOf({ points }: Series, { x, y }: Frame): readonly (readonly string[])[] {
  const pieces: string[][] = [[]]
  for (const [px, py] of points) {
    if (Number.isFinite(py)) pieces.at(-1)?.push(`${x(px)},${y(py)}`)
    else pieces.push([])
  }
  return pieces.filter(({ length }) => length > 0)
}

function lineOf(series: Series, index: number, frame: Frame): readonly string[] {
  const dash = series.isArea === true ? '' : ` d${index % DASHES.length}`
  return piecesOf(series, frame).map((piece) =>
    piece.length === 1
      ? dotOf(piece[0] ?? '', index)
      : `<polyline class="line s${index % COLOURS.length}${dash}" points="${piece.join(' ')}"/>`,
  )
}

function dotOf(point: string, index: number): string {
  const [x = '0', y = '0'] = point.split(',')
  return `<circle class="f${index % COLOURS.length}" cx="${x}" cy="${y}" r="3"/>`
}

function areaOf(series: Series, index: number, frame: Frame): string {
  return piecesOf(series, frame)
    .map((piece) => {
      const [first = '', last = ''] = [piece[0], piece.at(-1)].map((point) => point?.split(',')[0])
      const around = [`${first},${frame.bottom}`, ...piece, `${last},${frame.bottom}`]
      return `<polygon class="area f${index % COLOURS.length}" points="${around.join(' ')}"/>`
    })
    .join('\n')
}

function markOf({ x, name }: { readonly x: number; readonly name: string }, frame: Frame, top: number) {
  const at = frame.x(x)
  return [
    `<line class="mark" x1="${at}" x2="${at}" y1="${top}" y2="${frame.bottom}"/>`,
    `<text x="${fixed(Number(at) + 4)}" y="${top + 12}">${escaped(name)}</text>`,
  ]
}

/** Width of a line's name in a legend, with what it looks like; letters are taken for 6.6 wide. */
const nameWidth = (name: string): number => 44 + 6.6 * name.length

/** Names of the lines, as many in a row as fit. */
function legendRows({ series }: Panel): readonly (readonly number[])[] {
  const rows: number[][] = [[]]
  let width = 0
  for (const [index, { name }] of series.entries()) {
    if (width > 0 && width + nameWidth(name) > INNER) {
      rows.push([])
      width = 0
    }
    rows.at(-1)?.push(index)
    width += nameWidth(name)
  }
  return rows
}

function legend(panel: Panel, top: number): readonly string[] {
  return legendRows(panel).flatMap((row, at) => {
    let left = LEFT
    const y = top + LEGEND_ROW * at + 8
    return row.flatMap((index) => {
      const { name = '', isArea } = panel.series[index] ?? {}
      const dash = isArea === true ? '' : ` d${index % DASHES.length}`
      const x = left
      left += nameWidth(name)
      return [
        `<line class="line s${index % COLOURS.length}${dash}" x1="${fixed(x)}" x2="${fixed(x + 24)}" y1="${y}" y2="${y}"/>`,
        `<text x="${fixed(x + 30)}" y="${y + 4}">${escaped(name)}</text>`,
      ]
    })
  })
}

const heightOf = (panel: Panel): number => TITLE + LEGEND_ROW * legendRows(panel).length + PLOT + AXIS

/** A tenth of a point is as much as anybody sees. */
const fixed = (value: number): string => String(Math.round(10 * value) / 10)

const numberOf = (value: number): string => String(Number(value.toPrecision(6)))

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
