import type { Inspection } from './inspect-model.ts'
import type { ErrorMessage } from './thread-messages.ts'

/** What the inspector process tells its parent. */
export type FromInspector =
  | { readonly kind: 'ready' }
  | { readonly kind: 'inspected'; readonly inspection: Inspection }
  | { readonly kind: 'refused'; readonly error: ErrorMessage }
