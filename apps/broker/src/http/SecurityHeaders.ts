/** Headers of every answer. What a route sets itself stands: pages bring their own CSP, files their own caching. */
export const securityHeaders = (publicOrigin?: string): Readonly<Record<string, string>> => ({
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // Passkeys are asked for and made by our own pages, and by no frame in them.
  "permissions-policy":
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), " +
    "publickey-credentials-create=(self), publickey-credentials-get=(self)",
  "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  ...(publicOrigin?.startsWith("https://") ? { "strict-transport-security": "max-age=63072000" } : {})
})
