/** See compile.mjs. */
export function compile(note: (text: string) => void): string
/** See compile.mjs. */
export function compileTo(folder: string, project?: string): void
