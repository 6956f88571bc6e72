/** Streams that do not take what this worker has to store, and why: while there is one, the worker stops pulling. */
export class StorageHealth {
  readonly #refusing = new Map<string, string>()
  readonly #onChange: (refusing: ReadonlyMap<string, string>) => void

  constructor(onChange: (refusing: ReadonlyMap<string, string>) => void) {
    this.#onChange = onChange
  }

  get refusing(): ReadonlyMap<string, string> {
    return this.#refusing
  }

  failed(stream: string, description: string): void {
    if (this.#refusing.get(stream) === description) return
    this.#refusing.set(stream, description)
    this.#onChange(this.#refusing)
  }

  stored(stream: string): void {
    if (this.#refusing.delete(stream)) this.#onChange(this.#refusing)
  }
}
