import type { AdmissionMode } from '../../sdk/contract/flow.ts'
import type { ModelRecord } from './model-record.ts'

/**
 * What doors do with events of a model: as an operator said last, or else as its manifest says.
 *
 * @param record what the pool knows of the model; undefined where it knows nothing
 */
export function admissionModeOf(
  record: Pick<ModelRecord, 'admission'> | undefined,
  manifest: { readonly admission: { readonly mode: AdmissionMode } },
): AdmissionMode {
  return record?.admission?.mode ?? manifest.admission.mode
}
