/** Maintenance windows in words. */
import type { WindowView } from "./availability.ts"
import type { Tone } from "./status.ts"
import { duration, millis, minute, second } from "./time.ts"

type Span = Pick<WindowView, "startsAt" | "endsAt">

export const windowStates = {
  running: { word: "Now", tone: "info", meaning: "What is down now is not held against anybody." },
  ahead: { word: "Announced", tone: "idle", meaning: "Has not begun yet." },
  over: { word: "Over", tone: "idle", meaning: "Is left out of what was, and of nothing more." }
} as const satisfies Record<string, { readonly word: string; readonly tone: Tone; readonly meaning: string }>

export type WindowState = keyof typeof windowStates

export const windowState = ({ endsAt, startsAt }: Span, now: number): WindowState =>
  millis(endsAt) <= now ? "over" : millis(startsAt) > now ? "ahead" : "running"

/** What a window is about. */
export const aboutWords = ({ about, groupId, serverId }: Pick<WindowView, "about" | "groupId" | "serverId">) => {
  if (serverId !== null) return about ?? "A server that is gone"
  return groupId === null ? "The whole fleet" : (about ?? "A group that is gone")
}

/** Whom it would be about, for people who announce it. */
export type Whom =
  | { readonly kind: "fleet" }
  | { readonly kind: "group"; readonly name: string; readonly servers: number | null }
  | { readonly kind: "server"; readonly name: string }

const whomWords = (whom: Whom) => {
  switch (whom.kind) {
    case "fleet":
      return "any server of the fleet"
    case "group":
      return whom.servers === null
        ? `any server in ${whom.name} or below`
        : `any of the ${whom.servers} servers in ${whom.name} or below`
    case "server":
      return whom.name
  }
}

/** What an announcement leaves out, and what it leaves as it is. Null while no time makes sense. */
export const effectOf = (whom: Whom, from: number, to: number) =>
  Number.isNaN(from) || Number.isNaN(to) || to <= from
    ? null
    : `For ${duration(to - from)}, time in which ${whomWords(whom)} is down is left out of its availability. Nothing else changes: servers are not drained, clients still find those that are up, and their statuses are shown as they are.`

/** A window is offered from the next full minutes on. */
export const offeredStart = (now: number) => Math.ceil(now / (5 * minute)) * 5 * minute

/** What a call-off does, before it is done. */
export const callOffWords = (window: Span, now: number) =>
  windowState(window, now) === "running"
    ? `It ends now: the ${duration(now - millis(window.startsAt))} until here stay left out, what is down from now on counts again.`
    : "It is deleted: nothing is left out for it."

/** From a field for date and time, as the broker takes it; undefined where there is none. */
export const momentOf = (local: string) => {
  const at = new Date(local).getTime()
  return Number.isNaN(at) ? undefined : new Date(Math.floor(at / second) * second).toISOString()
}
