// The image's health check: asks the service's own readiness page. A command without a page is well while it runs.

const port = process.env.PELTON_HTTP_PORT || process.env.PELTON_CONTROL_PORT
if (port) {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_500) }).catch(
    (error) => ({ ok: false, status: error.cause?.code ?? error.name }),
  )
  if (!answer.ok) {
    process.stdout.write(`not ready: ${answer.status}\n`)
    process.exit(1)
  }
}
