/**
 * What a terminal acts on, does not show, or shows elsewhere than it stands: controls (C0, DEL, C1), formats (bidirectional,
 * zero-width, tags), line and paragraph separators, halves of a surrogate pair, fillers that look like nothing.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]|\u034f/gu

/**
 * A text on one line for people, whoever wrote it: what {@link UNPRINTABLE} names is shown as `\u001b`, so that a name in an
 * event can neither move the cursor nor pass for another line. Doing it twice changes nothing.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped)
}

/** The same for JSON text: the value stays exact, because JSON reads `\u001b` as what it stands for. Ends of lines stay. */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE, (found) => (found === '\n' ? found : escaped(found)))
}

function escaped(found: string): string {
  let text = ''
  for (let at = 0; at < found.length; at++) text += `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`
  return text
}

const ASCII = /^[ -~]*$/
const NO_COLUMN = /^\p{M}$/u
const TWO_COLUMNS =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]$/u

/** Columns a printable text takes on a terminal: two for a wide character, none for a mark on the one before. */
export function widthOf(text: string): number {
  return ASCII.test(text)
    ? text.length
    : [...text].reduce((width, character) => width + columnsOf(character), 0)
}

/** The beginning of a printable text that takes at most so many columns. */
export function cutToWidth(text: string, columns: number): string {
  if (ASCII.test(text)) return text.slice(0, columns)
  let width = 0
  let cut = ''
  for (const character of text) {
    width += columnsOf(character)
    if (width > columns) return cut
    cut += character
  }
  return cut
}

function columnsOf(character: string): number {
  if (NO_COLUMN.test(character)) return 0
  return TWO_COLUMNS.test(character) ? 2 : 1
}
