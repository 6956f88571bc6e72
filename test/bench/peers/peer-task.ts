/** What a contestant without a broker of Pelton's is told, as JSON in `PELTON_BENCH_TASK`. */
export interface PeerTask {
  /** Answered before anything counts. */
  readonly warmUp: number
  readonly events: number
  /** JSON of the features of all flights. */
  readonly flights: string
  /** Folder of models. */
  readonly models: string
}

export function readTask(): PeerTask {
  return JSON.parse(process.env.PELTON_BENCH_TASK ?? '{}') as PeerTask
}

/** Says that all is warm, or done; `answered` counts from the beginning. */
export function reportMilestone(state: 'warm' | 'done', answered: number, more: object = {}): void {
  process.send?.({ state, answered, atMs: performance.now(), ...more })
}
