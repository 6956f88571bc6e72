import { readdir } from 'node:fs/promises'
import { ROOT } from './observability-files.ts'

/** Every source of the product, from the root of the repository; its unit tests are none. */
export async function sources(): Promise<readonly string[]> {
  const lists = ['shared', 'services'].map(async (folder) => {
    const files = await readdir(`${ROOT}${folder}`, { recursive: true })
    return files.map((file) => `${folder}/${file}`)
  })
  return (await Promise.all(lists))
    .flat()
    .filter((file) => file.endsWith('.ts') && !/\.test\.ts$|\/(?:node_modules|dist|testdata)\//.test(file))
}
