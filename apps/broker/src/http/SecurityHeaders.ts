/** Headers of every answer. What a route sets itself stands: pages bring their own CSP, files their own caching. */
export const securityHeaders = (publicOrigin?: string): Readonly<Record<string, string>> => ({
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  ...(publicOrigin?.startsWith("https://") ? { "strict-transport-security": "max-age=63072000" } : {})
})
