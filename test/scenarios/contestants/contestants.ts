import { BULLMQ } from './bullmq.ts'
import type { Contestant } from './contestant.ts'
import { NAIVE } from './naive.ts'
import { PELTON_GATEWAY, PELTON_SDK } from './pelton.ts'

export const CONTESTANTS: readonly Contestant[] = [PELTON_GATEWAY, PELTON_SDK, NAIVE, BULLMQ]
