/** Every key of the dashboard. Pages say what a key does while they are on screen; the sheet behind `?` shows all. */

export interface Shortcut {
  readonly id: string
  /** Pressed one after the other. `mod` is Ctrl, or ⌘ on a Mac. */
  readonly keys: ReadonlyArray<string>
  readonly label: string
}

const shortcuts = [
  { id: "go-overview", keys: ["g", "o"], label: "Go to overview" },
  { id: "go-servers", keys: ["g", "s"], label: "Go to servers" },
  { id: "go-groups", keys: ["g", "p"], label: "Go to groups" },
  { id: "go-connections", keys: ["g", "c"], label: "Go to connections" },
  { id: "go-users", keys: ["g", "u"], label: "Go to users" },
  { id: "go-events", keys: ["g", "e"], label: "Go to events" },
  { id: "go-analytics", keys: ["g", "a"], label: "Go to analytics" },
  { id: "go-reports", keys: ["g", "n"], label: "Go to reports" },
  { id: "go-verification", keys: ["g", "v"], label: "Go to verification" },
  { id: "go-maintenance", keys: ["g", "w"], label: "Go to maintenance" },
  { id: "go-keys", keys: ["g", "k"], label: "Go to registration keys" },
  { id: "go-admins", keys: ["g", "d"], label: "Go to admins" },
  { id: "go-roles", keys: ["g", "r"], label: "Go to roles" },
  { id: "go-api-tokens", keys: ["g", "t"], label: "Go to API tokens" },
  { id: "go-sign-ins", keys: ["g", "i"], label: "Go to sign-ins" },
  { id: "go-audit", keys: ["g", "l"], label: "Go to the audit log" },
  { id: "go-security", keys: ["g", "y"], label: "Go to security settings" },
  { id: "go-broker", keys: ["g", "b"], label: "Go to the broker" },
  { id: "go-webhooks", keys: ["g", "h"], label: "Go to webhooks" },
  { id: "palette", keys: ["mod+k"], label: "Search, or run an action" },
  { id: "sheet", keys: ["?"], label: "Show all keys" },
  { id: "filter", keys: ["/"], label: "Filter the list" },
  { id: "next", keys: ["j"], label: "Next row" },
  { id: "previous", keys: ["k"], label: "Previous row" },
  { id: "select", keys: ["x"], label: "Select the row" },
  { id: "open", keys: ["Enter"], label: "Open the row" },
  { id: "close", keys: ["Escape"], label: "Close, or clear the selection" },
  { id: "range-back", keys: ["["], label: "Look at the time before" },
  { id: "range-forward", keys: ["]"], label: "Look at the time after" }
] as const satisfies ReadonlyArray<Shortcut>

export type ShortcutId = (typeof shortcuts)[number]["id"]

const anywhere: ReadonlySet<string> = new Set<ShortcutId>(["palette", "sheet"])
const ranges: ReadonlySet<string> = new Set<ShortcutId>(["range-back", "range-forward"])
const isAnywhere = ({ id }: Shortcut) => id.startsWith("go-") || anywhere.has(id)
const isRange = ({ id }: Shortcut) => ranges.has(id)

export const shortcutGroups: ReadonlyArray<{ readonly title: string; readonly shortcuts: ReadonlyArray<Shortcut> }> = [
  { title: "Anywhere", shortcuts: shortcuts.filter(isAnywhere) },
  { title: "In lists", shortcuts: shortcuts.filter((shortcut) => !isAnywhere(shortcut) && !isRange(shortcut)) },
  { title: "Where there are charts", shortcuts: shortcuts.filter(isRange) }
]

export const keysOf = (id: ShortcutId) => shortcuts.find((shortcut) => shortcut.id === id)?.keys ?? []

/** How long the first key of a pair waits for the second. */
const pairWithin = 1_500

const handlers = new Map<ShortcutId, Array<() => void>>()

/** Binds keys until the returned function is called. The latest binding of a key wins. */
export const bindKeys = (bindings: Partial<Record<ShortcutId, () => void>>) => {
  const bound = Object.entries(bindings) as Array<[ShortcutId, () => void]>
  for (const [id, run] of bound) handlers.set(id, [...(handlers.get(id) ?? []), run])
  return () => {
    for (const [id, run] of bound) {
      handlers.set(
        id,
        (handlers.get(id) ?? []).filter((other) => other !== run)
      )
    }
  }
}

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))

/** Enter and Space belong to what has the focus, where that is something to press. */
const isPressable = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  target.closest("a, button, [role=checkbox], [role=menuitem], [role=tab], summary") !== null

const hasOverlay = () => document.querySelector("[role=dialog], [role=alertdialog], [role=menu]") !== null

let first: { readonly key: string; readonly at: number } | undefined

const find = (pressed: string, at: number) => {
  const pair = first !== undefined && at - first.at < pairWithin ? [first.key, pressed] : undefined
  const matches = (keys: ReadonlyArray<string>, wanted: ReadonlyArray<string>) =>
    keys.length === wanted.length && keys.every((key, index) => key === wanted[index])
  return (
    shortcuts.find(({ keys }) => pair !== undefined && matches(keys, pair)) ??
    shortcuts.find(({ keys }) => matches(keys, [pressed]))
  )
}

/** Takes every key that is pressed in the window. */
export const pressed = (event: KeyboardEvent) => {
  if (event.defaultPrevented || event.altKey) return
  const mod = event.ctrlKey || event.metaKey
  const key = mod ? `mod+${event.key.toLowerCase()}` : event.key
  if (!mod && (isTyping(event.target) || hasOverlay())) return
  if (key === "Enter" && isPressable(event.target)) return
  const shortcut = find(key, event.timeStamp)
  first = shortcut === undefined ? { key, at: event.timeStamp } : undefined
  const run = shortcut === undefined ? undefined : handlers.get(shortcut.id)?.at(-1)
  if (run === undefined) return
  event.preventDefault()
  run()
}

const isMac = /Mac|iP(hone|ad|od)/.test(globalThis.navigator?.platform ?? "")

const names: Record<string, string> = { "mod+k": isMac ? "⌘ K" : "Ctrl K", Escape: "Esc" }

export const keyName = (key: string) => names[key] ?? key
