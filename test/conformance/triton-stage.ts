import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startGateway } from '../kit/gateway-process.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

/** A gateway, and all behind it, for the calls that Triton's client was recorded with. */
export interface TritonStage {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  close(): Promise<void>
}

/** Serves what `triton-calls.py` asks for. */
export async function openTritonStage(): Promise<TritonStage> {
  const folder = await modelsFolder(['several', 'identity-bytes'])
  const linear = join(import.meta.dirname, '../models/linear.onnx')
  for (const version of ['linear/9', 'linear/10', 'modèle é/1']) {
    await mkdir(join(folder.path, version), { recursive: true })
    await copyFile(linear, join(folder.path, version, 'model.onnx'))
  }
  const pipeline = await openPipeline({ models: folder.path })
  await pipeline.startWorker()
  const gateway = await startGateway({ url: pipeline.broker.url })
  await eventually('all models to be served', async () => {
    const response = await fetch(`${gateway.address}/v2/repository/index`)
    return ((await response.json()) as readonly unknown[]).length === 5
  })
  return {
    url: gateway.address,
    close: async () => {
      await gateway.end()
      await pipeline.close()
      await folder.remove()
    },
  }
}
