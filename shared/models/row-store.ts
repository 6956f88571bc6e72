import type { Features, FeatureValue } from '../sdk/contract/open-inference.ts'
import { type RowColumn, type RowFeature, type RowPlan, toElement } from './row-plan.ts'

/** One event's features, checked against the datatypes of their columns and not yet put into tensors. */
export class Row {
  readonly plan: RowPlan
  /** Shared with other rows: those of this one begin at `at` times the plan's count. */
  readonly numbers: Float64Array
  readonly texts: readonly string[]
  readonly at: number

  constructor(plan: RowPlan, numbers: Float64Array, texts: readonly string[], at: number) {
    this.plan = plan
    this.numbers = numbers
    this.texts = texts
    this.at = at
  }
}

/** Rows and elements that lie together at most: one that stays for long keeps the memory of its neighbours. */
const MAX_ROWS = 64
const MAX_ELEMENTS = 4_096

/**
 * Takes the features of one event after the other. Their values lie side by side, so that no event brings many small
 * objects: `begin`, then a `put` for each feature, then `end`. What was begun and not ended is written over.
 */
export class RowStore {
  readonly plan: RowPlan
  readonly #rows: number
  #numbers = new Float64Array()
  #texts: string[] = []
  #at: number

  constructor(plan: RowPlan) {
    this.plan = plan
    this.#rows = Math.max(1, Math.min(MAX_ROWS, Math.floor(MAX_ELEMENTS / (plan.numbers + plan.texts))))
    this.#at = this.#rows
  }

  begin(): void {
    if (this.#at < this.#rows) return
    this.#numbers = new Float64Array(this.#rows * this.plan.numbers)
    this.#texts = new Array<string>(this.#rows * this.plan.texts).fill('')
    this.#at = 0
  }

  end(): Row {
    return new Row(this.plan, this.#numbers, this.#texts, this.#at++)
  }

  /** @returns whether the value fits each column of its feature, as for the others */
  putNumber({ columns }: RowFeature, value: number): boolean {
    const from = this.#at * this.plan.numbers
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index] as RowColumn // within the array
      const element = toElement(column, value)
      if (Number.isNaN(element)) return false
      this.#numbers[from + column.place] = element
    }
    return true
  }

  /** @param text known to be carried */
  putText({ columns }: RowFeature, text: string): boolean {
    const from = this.#at * this.plan.texts
    for (let index = 0; index < columns.length; index++) {
      const { kind, place } = columns[index] as RowColumn // within the array
      if (kind !== 'text') return false
      this.#texts[from + place] = text
    }
    return true
  }

  putBoolean(feature: RowFeature, value: boolean): boolean {
    // Of whole numbers only BOOL goes from 0 to 1.
    if (feature.columns.some(({ kind, max }) => kind !== 'whole' || max !== 1)) return false
    return this.putNumber(feature, value ? 1 : 0)
  }

  /** For a feature that is missing or null. */
  putNothing({ columns }: RowFeature): boolean {
    const { numbers, texts } = this.plan
    for (const { kind, place, fallback } of columns) {
      if (fallback === undefined) return false
      if (kind === 'text') this.#texts[this.#at * texts + place] = fallback as string
      else this.#numbers[this.#at * numbers + place] = fallback as number
    }
    return true
  }

  /**
   * The row of an event's features, which are known to be scalars; undefined where one is missing, does not fit, or fits
   * in a way that takes a tensor (`"NaN"`, integers beyond 2^53). What the model does not take is not looked at.
   */
  take(features: Features): Row | undefined {
    this.begin()
    for (const feature of this.plan.features) {
      const { name } = feature
      if (!this.#put(feature, Object.hasOwn(features, name) ? features[name] : undefined)) return undefined
    }
    return this.end()
  }

  #put(feature: RowFeature, value: FeatureValue | undefined): boolean {
    switch (typeof value) {
      case 'number':
        return this.putNumber(feature, value)
      case 'string':
        return this.putText(feature, value)
      case 'boolean':
        return this.putBoolean(feature, value)
      case 'bigint':
        return false
      default:
        return this.putNothing(feature)
    }
  }
}
