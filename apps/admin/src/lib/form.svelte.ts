/** A form that is checked by the schema its request has on the broker's side. */

import { plain } from "@broker/domain/Wording"
import { Schema } from "effect"
import { tick } from "svelte"
import { explain, type Issue } from "./problems.ts"

interface Options<A, I> {
  readonly schema: Schema.Codec<A, I>
  /** The fields by the names of the schema, with how messages call them. */
  readonly labels: Partial<Record<keyof I & string, string>>
  /** Errors that belong to a field, by the stable code of the problem. */
  readonly conflicts?: Readonly<Record<string, keyof I & string>>
  readonly submit: (request: A) => Promise<void>
}

export class Form<A, I> {
  errors = $state.raw<Readonly<Record<string, string>>>({})
  /** What went wrong as a whole. */
  failure = $state<string | null>(null)
  busy = $state(false)

  readonly #options: Options<A, I>
  readonly #validate: ReturnType<typeof Schema.toStandardSchemaV1<Schema.Codec<A, I>>>["~standard"]["validate"]

  constructor(options: Options<A, I>) {
    this.#options = options
    this.#validate = Schema.toStandardSchemaV1(options.schema)["~standard"].validate
  }

  /** Sends the values if they are sound; otherwise says what is not, and goes to the first wrong field. */
  async send(form: HTMLFormElement, values: unknown) {
    if (this.busy) return
    this.failure = null
    const checked = await this.#validate(values)
    if (checked.issues !== undefined) {
      const issues = checked.issues.map((issue) => ({
        path: String(issue.path?.[0] ?? ""),
        message: plain(issue.message)
      }))
      return this.#show(form, issues)
    }
    this.errors = {}
    this.busy = true
    try {
      await this.#options.submit(checked.value)
    } catch (error) {
      // Free before the fault is shown: whoever sees it may send the next try at once.
      this.busy = false
      const problem = explain(error)
      const field = problem.code === null ? undefined : this.#options.conflicts?.[problem.code]
      const words = [problem.message, problem.remedy].filter((part) => part !== null).join(" ")
      if (field !== undefined) await this.#show(form, [{ path: field, message: words }], true)
      else if (problem.issues.length > 0) await this.#show(form, problem.issues)
      else this.failure = words
    } finally {
      this.busy = false
    }
  }

  async #show(form: HTMLFormElement, issues: ReadonlyArray<Issue>, whole = false) {
    const errors: Record<string, string> = {}
    for (const { message, path } of issues) {
      const label = this.#options.labels[path as keyof I & string]
      if (label === undefined) this.failure = message
      else errors[path] ??= whole ? message : `${label} ${message}.`
    }
    this.errors = errors
    await tick()
    form.querySelector<HTMLElement>("[aria-invalid=true], [data-invalid=true]")?.focus()
  }
}
