import type { ModelDoor } from '../../../shared/sdk/admission/model-door.ts'

/** What a door does: a {@link ModelDoor}, or something in its place. */
export type Door = Pick<ModelDoor, 'decide' | 'hear' | 'told'>
