import type { IncomingHttpHeaders } from 'node:http'
import { isLoopback } from '../../../shared/runtime/host-names.ts'
import { showValue } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'

/**
 * Refuses what a page of another site sends through a browser on this machine. Where no key is needed nothing else stands in
 * its way: a browser sends simple requests anywhere, and CORS only hides their answers; and the page's own name can be made
 * to mean 127.0.0.1 (DNS rebinding).
 *
 * @param origins those whose pages may ask
 * @throws Refusal 403 for a page of another origin, 421 for a request that calls this machine by another name
 */
export function refuseOtherSites(
  { host, origin }: IncomingHttpHeaders,
  origins: readonly string[],
): undefined {
  if (host !== undefined && !isLoopback(nameOf(host))) throw misdirected(host)
  if (origin === undefined || origins.includes(origin) || hostOf(origin) === host?.toLowerCase())
    return undefined
  throw new Refusal(
    403,
    'a page of another site',
    `pages of ${showValue(origin)} may not ask without a key`,
    {
      code: 'forbidden',
      field: 'Origin',
      value: showValue(origin),
      remedy: 'Name this origin among those of CORS, or have API keys asked for.',
    },
  )
}

function misdirected(host: string): Refusal {
  return new Refusal(421, 'misdirected request', `without keys this is not ${showValue(host)}`, {
    code: 'misdirected',
    field: 'Host',
    value: showValue(host),
    remedy: 'Call it by localhost or 127.0.0.1, or have API keys asked for.',
  })
}

/** Without its port, and the brackets of IPv6. */
function nameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}
