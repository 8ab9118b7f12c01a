/** The way to the sign-in page and back again. */

/** Pages for visitors who are not signed in. */
const open = ["/sign-in", "/setup", "/link"]
/** Pages that need no admission: they do without the shell, and ask for nothing that has to wait for it. */
const unguarded = [...open, "/enrol"]

export const needsAdmission = () => !unguarded.includes(location.pathname)

/** Where to go after signing in: a path of this dashboard, and nothing else that a link could smuggle in. */
export const landing = (to: string | null) => {
  const url = to?.startsWith("/") ? URL.parse(to, "http://here") : null
  // `//` at the begin of a path is another host to a browser, wherever the path came from.
  return url?.host === "here" && !url.pathname.startsWith("//") ? url.pathname + url.search + url.hash : "/"
}

/** Where admins go who have to enrol a second factor before anything else. */
export const enrolHref = (from: string) => (from === "/" ? "/enrol" : `/enrol?to=${encodeURIComponent(from)}`)

const signInHref = (from: string) => (from === "/" ? "/sign-in" : `/sign-in?to=${encodeURIComponent(from)}`)

/** Loads the sign-in page, which also drops whatever the ended session had on screen. False where that is no use. */
export const leaveToSignIn = () => {
  if (open.includes(location.pathname)) return false
  location.replace(signInHref(location.pathname + location.search))
  return true
}

/** Browsers keep cookies over plain http for these hosts only. */
export const isLocalHost = (host: string) =>
  host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d+){3}$/.test(host)
