import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { isNoise, isVersion } from '../../../shared/models/folder-names.ts'
import { type Finding, fail, ok, warn } from '../../../shared/operations/broker/finding.ts'
import { readUnservedModels, type UnservedModel } from '../../../shared/operations/models/unserved-models.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { showValue } from '../../../shared/sdk/errors.ts'

/** Whether the models folder can be read and holds models. Whether they can be served is `models check`. */
export async function checkModelsFolder(folder: string): Promise<readonly Finding[]> {
  const versions: string[] = []
  try {
    for (const model of await readdir(folder, { withFileTypes: true })) {
      if (model.isFile() || isNoise(model.name)) continue
      const entries = await readdir(join(folder, model.name))
      versions.push(...entries.filter(isVersion).map((name) => `${model.name}/${name}`))
    }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    return [
      fail(
        'models',
        `${folder} cannot be read (${code})`,
        'Name a folder that exists with --models or PELTON_MODELS.',
      ),
    ]
  }
  if (versions.length === 0)
    return [fail('models', `${folder} holds no model`, 'Put models there as <name>/<version>/model.onnx.')]
  return [ok('models', `${folder}: ${versions.join(', ')}; \`pelton models check\` tries them`)]
}

/** Whether every living worker serves what its pool has ever served: what no worker serves has its events parked. */
export async function checkModelsServed(connection: NatsConnection): Promise<readonly Finding[]> {
  const unserved = await readUnservedModels(connection)
  if (unserved.length === 0) return [ok('models served', 'every worker serves what its pool knows')]
  return unserved.map(findingOf)
}

function findingOf(unserved: UnservedModel): Finding {
  const { pool, model, serving, workers, reasons, waiting, isBroken } = unserved
  const check = `model ${showValue(model)} of pool ${showValue(pool)}`
  const waits = waiting === 0 ? '' : `, ${showCount(waiting)} of its events wait in RETRIES`
  const text = `${showCount(serving)} of ${showCount(workers)} workers serve it${waits}: ${reasons.slice(0, 3).join('; ')}`
  const remedy = isBroken
    ? 'Mend it, then `pelton models readmit`; see docs/runbooks/model-fails.md.'
    : 'Bring its folder back as it was; see docs/runbooks/model-not-servable.md.'
  return serving === 0 || isBroken ? fail(check, text, remedy) : warn(check, text, remedy)
}
