/** The sections of docs/models.md that errors lead to. */
export const MODELS_SECTIONS = [
  'folder',
  'manifest',
  'feature-mapping',
  'batching',
  'signals',
  'limits-and-retries',
  'checks',
  'admission',
  'golden-samples',
  'exporting',
  'what-is-refused',
] as const

export type ModelsSection = (typeof MODELS_SECTIONS)[number]

/** The last sentence of a remedy: where the page for those who ship models says more. */
export function seeModels(section: ModelsSection): string {
  return `See docs/models.md#${section}.`
}
