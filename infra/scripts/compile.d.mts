/** See compile.mjs. */
export function compile(note: (text: string) => void): string
