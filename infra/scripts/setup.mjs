// Makes a clone ready to run: checks Node, installs packages when they are missing or differ from the lock file.
// Plain JavaScript with nothing but Node: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const MINIMUM_NODE = [20, 19]

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1])) return
  fail(`Pelton needs Node ${MINIMUM_NODE.join('.')} or newer; this is ${process.versions.node}.`, 2)
}

/** Packages of the lock file that are not installed in the version it names; optional ones depend on the platform. */
function missingPackages() {
  const installed = `${root}node_modules/.package-lock.json`
  if (!existsSync(installed)) return ['all']
  const present = JSON.parse(readFileSync(installed, 'utf8')).packages
  const wanted = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages
  return Object.keys(wanted).filter((path) => {
    const { version, optional, devOptional, link } = wanted[path]
    if (!path.startsWith('node_modules/') || optional || devOptional || link) return false
    return present[path]?.version !== version
  })
}

function install() {
  process.stderr.write('setup: installing packages from package-lock.json …\n')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const { status } = spawnSync(npm, options, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0)
    fail('npm ci failed; see above. With network access to your npm registry, run it again.', 1)
}

function fail(message, code) {
  process.stderr.write(`setup: ${message}\n`)
  process.exit(code)
}

checkNode()
if (missingPackages().length > 0) install()
