/**
 * Proving once more who it is, for what is dangerous (A4).
 *
 * Whatever asks the broker goes through here, so that no page thinks of it: what is refused for want of a fresh proof
 * waits for the one dialog, and is asked again by itself.
 */

/** The admin closed the dialog. */
export class NotConfirmed extends Error {
  override readonly name = "NotConfirmed"
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (reason: NotConfirmed) => void
}

class StepUp {
  #asking = $state(false)
  #waiting: ReadonlyArray<Waiting> = []

  /** Whether the dialog is open. */
  get asking() {
    return this.#asking
  }

  /** Opens the dialog, one for all that wait. Resolves once it is confirmed, and rejects when it is closed. */
  confirm() {
    this.#asking = true
    return new Promise<void>((resolve, reject) => {
      this.#waiting = [...this.#waiting, { resolve, reject }]
    })
  }

  confirmed() {
    for (const { resolve } of this.#settle()) resolve()
  }

  cancelled() {
    for (const { reject } of this.#settle()) reject(new NotConfirmed())
  }

  #settle() {
    const waiting = this.#waiting
    this.#waiting = []
    this.#asking = false
    return waiting
  }
}

export const stepUp = new StepUp()

/** The stable code of the broker's question. */
export const asksStepUp = "step_up_required"
