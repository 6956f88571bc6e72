import { BUCKET_TAMPERS } from './bucket-tampers.ts'
import { LEDGER_TAMPERS } from './ledger-tampers.ts'
import { LETTER_TAMPERS } from './letter-tampers.ts'
import { QUEUE_TAMPERS } from './queue-tampers.ts'
import { RESULT_TAMPERS } from './result-tampers.ts'
import type { Tamper } from './tamper.ts'

/** All of them: every kind of every stream. */
export const TAMPERS: readonly Tamper[] = [
  ...QUEUE_TAMPERS,
  ...RESULT_TAMPERS,
  ...LETTER_TAMPERS,
  ...LEDGER_TAMPERS,
  ...BUCKET_TAMPERS,
]
