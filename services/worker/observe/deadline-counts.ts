import type { Labels } from '../../../shared/runtime/meters.ts'
import type { Route } from '../../../shared/sdk/contract/subjects.ts'
import type { ShedKind } from '../settle/outcome.ts'
import { addTogether } from './add-together.ts'

type Count = (count: number, labels: Labels) => void

/** Counts what deadlines did to events: those that ended because of theirs, and predictions that came after it. */
export function countDeadlines(
  { shed, deadlineMisses }: { readonly shed: Count; readonly deadlineMisses: Count },
  bounded: (model: string) => string,
) {
  const addShed = addTogether<Labels>(shed)
  const addMissed = addTogether<Labels>(deadlineMisses)
  return {
    shed({ model, lane }: Route, kind: ShedKind): void {
      addShed(`${model} ${lane} ${kind}`, () => ({ model: bounded(model), lane, kind }))
    },
    missed({ model, lane }: Route): void {
      addMissed(`${model} ${lane}`, () => ({ model: bounded(model), lane }))
    },
  }
}
