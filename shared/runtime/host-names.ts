/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/**
 * Names a request may call us by. A page in a browser of this machine can make its own name mean 127.0.0.1 (DNS
 * rebinding) and would reach us; its name stands in the Host header.
 *
 * @param allowed the setting; undefined for loopback names on loopback, and any name elsewhere
 */
export function hostCheck(
  host: string,
  allowed: string | undefined,
): (header: string | undefined) => boolean {
  if (allowed === undefined && !isLoopback(host)) return () => true
  const names = new Set(
    (allowed ?? 'localhost,127.0.0.1,[::1]').split(',').map((name) => name.trim().toLowerCase()),
  )
  names.add(host.includes(':') ? `[${host}]` : host.toLowerCase())
  // Who calls again calls by the same name.
  let [last, isOurs]: [string | undefined, boolean] = [undefined, false]
  return (header = '') => {
    if (header !== last) {
      last = header
      isOurs = names.has(header.toLowerCase().replace(/:\d+$/, ''))
    }
    return isOurs
  }
}
