/** Acts on many servers that are under way, followed from page to page. */
import { BulkAct, type BulkActId, BulkPreview } from "@broker/domain/BulkAct"
import { Schema } from "effect"
import { toast } from "svelte-sonner"
import { complain } from "./acts.svelte.ts"
import { type BulkActView, canUndo, outcomeOf, verbOf } from "./bulk.ts"
import { type RouterInputs, rpc } from "./rpc.ts"

export type BulkRequestInput = RouterInputs["bulkActs"]["start"]

const decodeAct = Schema.decodeUnknownSync(BulkAct)
const decodeActs = Schema.decodeUnknownSync(Schema.Array(BulkAct))
export const decodeBulkPreview = Schema.decodeUnknownSync(BulkPreview)

const again = 1_000
const undoFor = 8_000

class Bulk {
  #acts = $state.raw<ReadonlyArray<BulkActView>>([])
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Those that were put away, which a late answer must not bring back. */
  readonly #away = new Set<BulkActId>()

  /** Those of this tab, the newest first, until they are put away. */
  get acts() {
    return this.#acts
  }

  /** Throws what went wrong, for the dialog that asked. */
  async start(request: BulkRequestInput) {
    this.#take(decodeAct(await rpc.bulkActs.start.mutate(request)))
  }

  /** Takes up what was under way before the page was loaded. */
  async resume(admin: string) {
    const acts = await rpc.bulkActs.list.query().then(decodeActs, () => [])
    for (const act of acts.toReversed()) if (act.state === "running" && act.adminName === admin) this.#take(act)
  }

  async undo(act: BulkActView) {
    try {
      const undoing = decodeAct(await rpc.bulkActs.undo.mutate({ id: act.id }))
      this.#take({ ...act, undoneBy: undoing.id })
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
    this.#acts = this.#acts.filter(({ id }) => id !== act.id)
  }

  #take(act: BulkActView) {
    if (this.#away.has(act.id)) return
    const before = this.#acts.find(({ id }) => id === act.id)
    this.#acts = before === undefined ? [act, ...this.#acts] : this.#acts.map((one) => (one.id === act.id ? act : one))
    if (act.state !== "running" && (before === undefined || before.state === "running")) this.#ended(act)
    this.#later()
  }

  #ended(act: BulkActView) {
    const tell = act.failed > 0 ? toast.warning : toast.success
    tell(act.undoes === null ? `${verbOf(act.action)}: ${outcomeOf(act)}` : `Undone: ${outcomeOf(act)}`, {
      duration: undoFor,
      ...(canUndo(act) ? { action: { label: "Undo", onClick: () => void this.undo(act) } } : {})
    })
  }

  #later() {
    clearTimeout(this.#timer)
    if (this.#acts.some(({ state }) => state === "running")) this.#timer = setTimeout(() => void this.#ask(), again)
  }

  /** A question that gets no answer is asked again with the next. */
  async #ask() {
    const running = this.#acts.filter(({ state }) => state === "running")
    const answers = await Promise.all(
      running.map(({ id }) => rpc.bulkActs.get.query({ id }).then(decodeAct, () => undefined))
    )
    for (const act of answers) if (act !== undefined) this.#take(act)
    this.#later()
  }
}

export const bulk = new Bulk()
