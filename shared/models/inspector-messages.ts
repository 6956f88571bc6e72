import type { Inspection, InspectionRequest } from './inspect-model.ts'
import type { ErrorMessage } from './thread-messages.ts'
import type { GatheredVersion, GatherRequest } from './version-files.ts'

/** What the inspector process is asked. */
export type ToInspector =
  /** To load what tries models; answered with `ready`. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'gather'; readonly request: GatherRequest }
  | { readonly kind: 'inspect'; readonly request: InspectionRequest }

/** What the inspector process tells its parent. */
export type FromInspector =
  | { readonly kind: 'ready' }
  | { readonly kind: 'gathered'; readonly version: GatheredVersion }
  | { readonly kind: 'inspected'; readonly inspection: Inspection }
  | { readonly kind: 'refused'; readonly error: ErrorMessage }
