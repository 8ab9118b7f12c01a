/** What an act on many servers would touch: asked before it starts, and again where that is no longer so. */
import type { BulkPreview } from "@broker/domain/BulkAct"
import { bulk, decodeBulkPreview } from "#lib/bulk.svelte.ts"
import { type Explained, explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import type { ActionInput, SelectionInput } from "./bulk.ts"

const wordsOf = ({ message, remedy }: Explained) => [message, remedy].filter((part) => part !== null).join(" ")

/** The reason touches nothing: it is not asked about anew for each letter. */
export const questionOf = (action: ActionInput) =>
  JSON.stringify({ ...action, ...("reason" in action && { reason: "" }) })

export class Previewing {
  #answer = $state.raw<{ readonly to: string; readonly is: BulkPreview } | null>(null)
  /** Why there is no preview, and why the act did not start. */
  refused = $state<string | null>(null)
  failure = $state<string | null>(null)
  busy = $state(false)
  readonly #selection: SelectionInput
  #turn = 0

  constructor(selection: SelectionInput) {
    this.#selection = selection
  }

  /** What was answered, if it is about this act. */
  of(action: ActionInput | null) {
    return action !== null && this.#answer?.to === questionOf(action) ? this.#answer.is : null
  }

  /** Only the answer to the last question counts. */
  async ask(action: ActionInput) {
    const turn = ++this.#turn
    const question = questionOf(action)
    this.refused = null
    try {
      const is = decodeBulkPreview(await rpc.bulkActs.preview.mutate({ action, selection: this.#selection }))
      if (turn !== this.#turn) return
      this.#answer = { to: question, is }
    } catch (error) {
      if (turn === this.#turn) this.refused = wordsOf(explain(error))
    }
  }

  /** Starts what was shown, and nothing else: where another number would be touched by now, that is shown instead. */
  async start(action: ActionInput) {
    const shown = this.of(action)
    if (shown === null || this.busy) return "refused"
    this.busy = true
    this.failure = null
    try {
      await bulk.start({ action, selection: this.#selection, expected: shown.changes })
      return "started"
    } catch (error) {
      const problem = explain(error)
      this.failure = wordsOf(problem)
      if (problem.code !== "bulk_selection_changed") return "refused"
      this.#answer = null
      await this.ask(action)
      return "changed"
    } finally {
      this.busy = false
    }
  }
}
