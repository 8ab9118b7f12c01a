/** Whether a request comes from the dashboard's own pages, by what browsers say of it and pages cannot change. */

interface Request {
  readonly method: string
  readonly headers: Readonly<Record<string, string | undefined>>
}

const safe: ReadonlySet<string> = new Set(["GET", "HEAD"])

/** An address of the broker that is not its public one: a node's own, or the way from this machine. */
const isHost = (origin: string, host: string | undefined, audience: string) => {
  const url = URL.parse(origin)
  if (url === null || url.host !== host) return false
  // Whoever can answer for our name over http must not speak for what is served over https.
  return url.protocol === "https:" || (url.protocol === "http:" && audience.startsWith("http:"))
}

/**
 * Browsers tell by `Sec-Fetch-Site`, but only on secure origins; elsewhere by `Origin`, at least where something is
 * changed. Whatever sends neither is no browser: it may come without a cookie, as there is nobody's to be abused.
 */
export const isSameOrigin = ({ headers, method }: Request, audience: string): boolean => {
  const site = headers["sec-fetch-site"]
  const changesNothing = safe.has(method)
  if (site !== undefined) return site === "same-origin" || (site === "none" && changesNothing)
  const { host, origin } = headers
  if (origin === undefined) return changesNothing || headers["cookie"] === undefined
  return origin === audience || isHost(origin, host, audience)
}
