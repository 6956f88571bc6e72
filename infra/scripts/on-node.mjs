// Runs a command on another Node: `npm run on-node -- 24 npx vitest run --project unit`. The Node comes from npm's
// node-<platform>-<arch> packages and is kept beside the other things Pelton obtains.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

const [line, ...command] = process.argv.slice(2)
if (!/^\d+$/.test(line ?? '') || command.length === 0) {
  process.stderr.write('usage: npm run on-node -- <major version of Node> <command> [arguments…]\n')
  process.exit(2)
}

const name = `node-${process.platform}-${process.arch}`
const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'pelton', 'node', line)
const home = join(folder, 'node_modules', name)

if (!existsSync(join(home, 'package.json'))) {
  mkdirSync(folder, { recursive: true })
  const options = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error']
  const { status } = spawnSync('npm', [...options, `${name}@${line}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) {
    process.stderr.write(`on-node: ${name}@${line} cannot be installed; see above\n`)
    process.exit(1)
  }
}
const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
process.stderr.write(`on-node: Node ${version}\n`)
const PATH = `${join(home, 'bin')}${delimiter}${process.env.PATH}`
const { status, signal } = spawnSync(command[0], command.slice(1), {
  stdio: 'inherit',
  env: { ...process.env, PATH },
})
process.exit(signal === null ? status : 1)
