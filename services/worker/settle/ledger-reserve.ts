import { showShare } from '../../../shared/runtime/quantities.ts'
import { LEDGER_STOPS_AT } from '../../../shared/sdk/contract/bounds.ts'

/** So much of the bound has to come free before pulling goes on: it shall not stop again with the next record. */
const ROOM_TO_GO_ON = 0.02

/**
 * Keeps the last part of the ledger's bound for what workers hold: no event is settled without its record, so nothing is
 * pulled that might find no room for one.
 */
export class LedgerReserve {
  readonly #used: () => number
  readonly #onChange: (because: string | undefined) => void
  #because: string | undefined

  /**
   * @param used share of the ledger's bound that is used
   * @param onChange told when pulling has to stop, and why; and when there is room again
   */
  constructor(used: () => number, onChange: (because: string | undefined) => void) {
    this.#used = used
    this.#onChange = onChange
  }

  /** Why nothing is pulled; undefined while there is room. */
  get because(): string | undefined {
    return this.#because
  }

  /** To be called after each look at the ledger. */
  look(): void {
    const used = this.#used()
    const wasFull = this.#because !== undefined
    const stopsAt = wasFull ? LEDGER_STOPS_AT - ROOM_TO_GO_ON : LEDGER_STOPS_AT
    this.#because = used < stopsAt ? undefined : reasonOf(used)
    if (wasFull !== (this.#because !== undefined)) this.#onChange(this.#because)
  }
}

function reasonOf(used: number): string {
  return `${showShare(used)} of its bound is used, the rest is kept for what workers hold`
}
