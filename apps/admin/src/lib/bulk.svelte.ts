/** Acts on many servers that are under way, followed from page to page. */
import { BulkAct, BulkActId, BulkPreview } from "@broker/domain/BulkAct"
import { Schema } from "effect"
import { toast } from "svelte-sonner"
import { complain } from "./acts.svelte.ts"
import { type BulkActView, dealtWith, outcomeOf, verbOf } from "./bulk.ts"
import { isGone } from "./problems.ts"
import { type RouterInputs, rpc } from "./rpc.ts"
import { maybeMillis, millis, minute } from "./time.ts"

export type BulkRequestInput = RouterInputs["bulkActs"]["start"]

const decodeAct = Schema.decodeUnknownSync(BulkAct)
const decodeActs = Schema.decodeUnknownSync(Schema.Array(BulkAct))
export const decodeBulkPreview = Schema.decodeUnknownSync(BulkPreview)

const again = 1_000
const undoFor = 8_000
/** So long after its end the last act is taken up with the page, so that it can be undone. */
const takenUpFor = 15 * minute

/** What was put away stays so when the page is loaded again, as long as the tab is open. */
const awayKey = "broker.bulk.away"
const decodeAway = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(BulkActId)))
const readAway = (): ReadonlyArray<BulkActId> => {
  try {
    return decodeAway(sessionStorage.getItem(awayKey))
  } catch {
    return []
  }
}
const keepAway = (ids: Iterable<BulkActId>) => {
  try {
    sessionStorage.setItem(awayKey, JSON.stringify([...ids].slice(-100)))
  } catch {
    // Storage is off or full: it holds for as long as the page is open.
  }
}

/** Whether what is told may take the place of what is known: acts go forward only, and end once. */
const isNews = (known: BulkActView, told: BulkActView) =>
  known.state === "running"
    ? told.state !== "running" || dealtWith(told) >= dealtWith(known)
    : told.state !== "running" && (known.undoneBy === null || told.undoneBy !== null)

export class Bulk {
  #acts = $state.raw<ReadonlyArray<BulkActView>>([])
  #timer: ReturnType<typeof setTimeout> | undefined
  #asking = false
  /** Those that were put away, which a late answer must not bring back. */
  readonly #away = new Set<BulkActId>(readAway())

  /** Those of this tab, the newest first, until they are put away. */
  get acts() {
    return this.#acts
  }

  /** Throws what went wrong, for the dialog that asked. */
  async start(request: BulkRequestInput) {
    this.#take(decodeAct(await rpc.bulkActs.start.mutate(request)))
  }

  /** Takes up what was under way before the page was loaded, and the last one that can still be undone. */
  async resume(admin: string) {
    const acts = (await rpc.bulkActs.list.query().then(decodeActs, () => []))
      .filter(({ adminName }) => adminName === admin)
      .toSorted((one, other) => millis(other.createdAt) - millis(one.createdAt))
    const last = acts.find(
      ({ finishedAt, undoable }) => undoable && (maybeMillis(finishedAt) ?? 0) > Date.now() - takenUpFor
    )
    for (const act of acts.toReversed()) if (act.state === "running" || act === last) this.#take(act, act !== last)
  }

  async undo(act: BulkActView) {
    try {
      const undoing = decodeAct(await rpc.bulkActs.undo.mutate({ id: act.id }))
      this.#take({ ...act, undoable: false, undoneBy: undoing.id })
      this.#take(undoing)
    } catch (error) {
      complain(error)
    }
  }

  async stop(act: BulkActView) {
    try {
      this.#take(decodeAct(await rpc.bulkActs.stop.mutate({ id: act.id })))
    } catch (error) {
      complain(error)
    }
  }

  putAway(act: BulkActView) {
    this.#away.add(act.id)
    keepAway(this.#away)
    this.#acts = this.#acts.filter(({ id }) => id !== act.id)
  }

  /** `loud`: where it has ended, that is said. */
  #take(act: BulkActView, loud = true) {
    if (this.#away.has(act.id)) return
    const before = this.#acts.find(({ id }) => id === act.id)
    if (before !== undefined && !isNews(before, act)) return
    this.#acts = before === undefined ? [act, ...this.#acts] : this.#acts.map((one) => (one.id === act.id ? act : one))
    if (loud && act.state !== "running" && (before === undefined || before.state === "running")) this.#ended(act)
    this.#later()
  }

  #ended(act: BulkActView) {
    const tell = act.failed > 0 ? toast.warning : toast.success
    tell(act.undoes === null ? `${verbOf(act.action)}: ${outcomeOf(act)}` : `Undone: ${outcomeOf(act)}`, {
      duration: undoFor,
      ...(act.undoable ? { action: { label: "Undo", onClick: () => void this.undo(act) } } : {})
    })
  }

  /** Asks again in a while; in a tab that nobody sees, once it is seen again. */
  #later() {
    clearTimeout(this.#timer)
    if (this.#asking || !this.#acts.some(({ state }) => state === "running")) return
    if (document.visibilityState === "hidden") {
      document.addEventListener("visibilitychange", this.#seen, { once: true })
      return
    }
    this.#timer = setTimeout(() => void this.#ask(), again)
  }

  readonly #seen = () => this.#later()

  /** A question that gets no answer is asked again with the next, unless there will never be one. */
  async #ask() {
    this.#asking = true
    const running = this.#acts.filter(({ state }) => state === "running")
    const answers = await Promise.all(
      running.map(({ id }) =>
        rpc.bulkActs.get.query({ id }).then(decodeAct, (error: unknown) => (isGone(error) ? ("gone" as const) : null))
      )
    )
    for (const [at, act] of answers.entries()) {
      if (act === "gone") this.#acts = this.#acts.filter(({ id }) => id !== running[at]?.id)
      else if (act !== null) this.#take(act)
    }
    this.#asking = false
    this.#later()
  }
}

export const bulk = new Bulk()
