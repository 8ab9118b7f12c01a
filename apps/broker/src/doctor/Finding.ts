/** What a check came to. */
export interface Finding {
  readonly check: string
  readonly level: "ok" | "warning" | "error"
  readonly message: string
  /** What to do about it; null where there is nothing to do. */
  readonly remedy: string | null
}

export const ok = (check: string, message: string): Finding => ({ check, level: "ok", message, remedy: null })

export const warning = (check: string, message: string, remedy: string): Finding => ({
  check,
  level: "warning",
  message,
  remedy
})

export const error = (check: string, message: string, remedy: string): Finding => ({
  check,
  level: "error",
  message,
  remedy
})
