import { BULLMQ } from './bullmq.ts'
import type { Contestant } from './contestant.ts'
import { NAIVE } from './naive.ts'
import { PELTON } from './pelton.ts'

export const CONTESTANTS: readonly Contestant[] = [...PELTON, NAIVE, BULLMQ]
