import { isIPv6 } from "node:net"

/** Whether a host name or address means this machine, and only it. */
export const isLoopback = (host: string) => /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host)

/** A host as it stands in a URL: an IPv6 address is in brackets there. */
export const inUrl = (host: string) => (isIPv6(host) ? `[${host}]` : host)
